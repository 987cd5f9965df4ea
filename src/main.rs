//! The command `candle-recurrent`; all of it is in [`candle_recurrent::cli`].

fn main() -> std::process::ExitCode {
    candle_recurrent::cli::main(std::env::args_os())
}
