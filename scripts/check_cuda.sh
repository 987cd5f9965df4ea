#!/usr/bin/env bash
# Type-checks the crate with the `cuda` feature on a machine without the CUDA toolkit: a stand-in for nvcc answers
# candle's build scripts with empty kernels. Only `cargo check` makes sense with it; a real build needs the real nvcc.
set -euo pipefail
cd "$(dirname "$0")/.."
home=$(pwd)/target/cuda-check
mkdir -p "$home/bin" "$home/include"
cat >"$home/bin/nvcc" <<'NVCC'
#!/usr/bin/env bash
out='' dir='' source='' kind=ptx
while [ $# -gt 0 ]; do
  case "$1" in
    --version) printf 'nvcc: NVIDIA (R) Cuda compiler driver\nstand-in\nstand-in\nCuda compilation tools, release 13.0, V13.0.88\nstand-in\n'; exit 0 ;;
    -o | --output-file) out=$2; shift ;;
    -odir | --output-directory) dir=$2; shift ;;
    --lib) kind=lib ;;
    *.cu) source=$1 ;;
  esac
  shift
done
if [ "$kind" = lib ]; then ar rcs "$out"; exit 0; fi
[ -n "$out" ] || out="${dir:-.}/$(basename "${source%.cu}").ptx"
: >"$out"
NVCC
chmod +x "$home/bin/nvcc"
export CUDA_HOME=$home CUDA_COMPUTE_CAP=90 PATH=$home/bin:$PATH CARGO_TARGET_DIR=$home/target
cargo check --features cuda
