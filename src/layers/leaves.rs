//! The way back of a loss, with the gradients of variables taken past Candle's sums.

use candle_core::backprop::GradStore;
use candle_core::{Device, Result, Tensor, TensorId};
use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// The same as `loss.backward()`, but faster for the layers of this crate.
///
/// Candle adds each gradient to zeros of the variable that it belongs to, which takes two more passes over memory and, for
/// variables of 65,536 numbers and more, wakes threads of Candle's own. Here what the layers give goes straight into the store.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use candle_recurrent::layers::{Lstm, LstmConfig};
/// use candle_recurrent::train::backward;
///
/// # fn main() -> candle_core::Result<()> {
/// let variables = VarMap::new();
/// let lstm = Lstm::new(16, LstmConfig::new(8), VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
/// let xs = Tensor::zeros((2, 100, 16), DType::F32, &Device::Cpu)?;
/// let gradients = backward(&lstm.forward(&xs)?.sqr()?.sum_all()?)?;
/// assert!(variables.all_vars().iter().all(|variable| gradients.get(variable).is_some()));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As `loss.backward()`.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let nodes = loss.sorted_nodes().into_iter().map(Tensor::id).collect();
    let pass = Running::start(Pass { nodes, gradients: HashMap::new() });
    let mut gradients = loss.backward()?;
    for (variable, gradient) in pass.gradients().into_values() {
        let gradient = gradient.tensor(&variable)?;
        let gradient = match gradients.remove(&variable) {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        };
        gradients.insert(&variable, gradient);
    }
    Ok(gradients)
}

thread_local! {
    /// The pass that this thread runs.
    static PASS: RefCell<Option<Pass>> = const { RefCell::new(None) };
}

/// A pass over the graph of a loss.
struct Pass {
    /// The nodes of the graph: a thread that waits may take up work of another pass, or of none, which goes its own way.
    nodes: HashSet<TensorId>,
    /// The variables and their gradients so far.
    gradients: HashMap<TensorId, (Tensor, Leaf)>,
}

/// The gradient of a variable.
pub(super) enum Leaf {
    /// Its own.
    Floats(Vec<f32>),
    /// That of others too.
    Shared(Tensor),
}

impl From<Vec<f32>> for Leaf {
    fn from(floats: Vec<f32>) -> Self {
        Self::Floats(floats)
    }
}

impl From<Tensor> for Leaf {
    fn from(tensor: Tensor) -> Self {
        Self::Shared(tensor)
    }
}

impl Leaf {
    /// The numbers, to be changed.
    fn floats(self) -> Result<Vec<f32>> {
        match self {
            Self::Floats(floats) => Ok(floats),
            Self::Shared(tensor) => tensor.flatten_all()?.to_vec1(),
        }
    }

    /// As the gradient of this variable.
    fn tensor(self, variable: &Tensor) -> Result<Tensor> {
        match self {
            Self::Floats(floats) => Tensor::from_vec(floats, variable.shape(), &Device::Cpu),
            Self::Shared(tensor) => tensor.reshape(variable.shape()),
        }
    }
}

/// The time in which a pass runs; then the one around it goes on.
struct Running {
    outer: Option<Pass>,
}

impl Running {
    fn start(pass: Pass) -> Self {
        Self { outer: PASS.replace(Some(pass)) }
    }

    /// What it has given.
    fn gradients(self) -> HashMap<TensorId, (Tensor, Leaf)> {
        PASS.take().map_or_else(HashMap::new, |pass| pass.gradients)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        PASS.set(self.outer.take());
    }
}

/// Takes the gradient of a variable that the op `node` gives, or gives it to Candle: if `tensor` is none, or the op is not of
/// the graph that [`backward`] goes through on this thread.
pub(super) fn take(node: &Tensor, tensor: &Tensor, gradient: Leaf) -> Result<Option<Tensor>> {
    PASS.with_borrow_mut(|pass| match pass {
        Some(pass) if tensor.is_variable() && pass.nodes.contains(&node.id()) => {
            match pass.gradients.entry(tensor.id()) {
                Entry::Vacant(entry) => _ = entry.insert((tensor.clone(), gradient)),
                Entry::Occupied(mut entry) => {
                    let (_, sum) = entry.get_mut();
                    let mut floats = std::mem::replace(sum, Leaf::Floats(vec![])).floats()?;
                    floats.iter_mut().zip(gradient.floats()?).for_each(|(sum, value)| *sum += value);
                    *sum = Leaf::Floats(floats);
                }
            }
            Ok(None)
        }
        _ => gradient.tensor(tensor).map(Some),
    })
}
