//! Which values of a pickle are the weights.

use super::shown;
use super::tensor::{is_tensor, may_be_weights};
use crate::formats::pickle::{Pickle, Reason, Value};

/// Values by name.
type Named<'a> = Vec<(String, Value<'a>)>;

/// The deepest that modules stand in modules, the longest name, and the most values that are looked at.
const DEEPEST: usize = 64;
const LONGEST: usize = 1 << 10;
const MOST: usize = 1 << 20;

/// The tensors of the weights that `root` holds: those of a `state_dict`, of the only one in a checkpoint's dictionary, or
/// of a pickled module.
pub(super) fn weights<'a>(pickle: &Pickle<'a>, root: Value<'a>) -> Result<Named<'a>, Reason> {
    let mut search = Search { pickle, left: MOST };
    if search.is_module(root) {
        return search.modules(root);
    }
    let Some(entries) = pickle.pairs(root).filter(|_| !is_tensor(pickle, root)) else {
        return Err("holds neither a `state_dict` nor a checkpoint with one; save the weights: \
             `torch.save(model.state_dict(), \"NAME.pt\")`"
            .into());
    };
    let mut sets = vec![];
    for &(key, value) in entries {
        let Value::Text(key) = key else { continue };
        if let Some(set) = search.set(value)?.filter(|_| !key.ends_with(EXTRA)) {
            sets.push((shown(key), set));
        }
    }
    let text = |key: Value<'a>| match key {
        Value::Text(key) => Some(shown(key)),
        _ => None,
    };
    if sets.is_empty() {
        let own = search.tensors(entries)?;
        if own.is_empty() {
            let keys: Vec<String> = entries.iter().filter_map(|(key, _)| text(*key)).take(5).collect();
            return Err(format!(
                "holds no `state_dict` (but {}); save the weights: `torch.save(model.state_dict(), \"NAME.pt\")`",
                if keys.is_empty() { "nothing with a name".into() } else { keys.join(", ") }
            ));
        }
        return Ok(own);
    }
    // Beside a `state_dict` a tensor may be a figure, or the state of a random generator.
    let beside =
        entries.iter().find(|(_, value)| is_tensor(pickle, *value) && may_be_weights(pickle, *value));
    if sets.len() == 1 && beside.is_none() {
        return Ok(sets.swap_remove(0).1);
    }
    let beside = beside.and_then(|(key, _)| text(*key));
    let names: Vec<String> = sets.into_iter().map(|(name, _)| name).chain(beside).take(8).collect();
    let first = names.first().map_or("", String::as_str);
    Err(format!(
        "holds several sets of weights (`{}`); save the one that is meant alone: \
         `torch.save(torch.load(\"FILE\")[\"{first}\"], \"NAME.pt\")`",
        names.join("`, `")
    ))
}

/// The end of the names under which modules keep what is no tensor of theirs.
const EXTRA: &[u8] = b"_extra_state";

/// A search, whose length is bounded: a small pickle can hold one dictionary any number of times.
struct Search<'p, 'a> {
    pickle: &'p Pickle<'a>,
    /// The values that may still be looked at.
    left: usize,
}

impl<'p, 'a> Search<'p, 'a> {
    fn spend(&mut self, values: usize) -> Result<(), Reason> {
        let left = self.left.checked_sub(values);
        self.left = left.ok_or("holds more than a model needs; save `model.state_dict()` alone")?;
        Ok(())
    }

    /// The tensors of an entry of a checkpoint, if it is weights.
    fn set(&mut self, value: Value<'a>) -> Result<Option<Named<'a>>, Reason> {
        let pickle = self.pickle;
        self.spend(1)?;
        if is_tensor(pickle, value) {
            return Ok(None);
        }
        let named = match pickle.pairs(value) {
            _ if self.is_module(value) => self.modules(value)?,
            Some(pairs) => {
                self.spend(pairs.len())?;
                match pairs.iter().any(|(_, value)| is_tensor(pickle, *value)) {
                    true => self.tensors(pairs)?,
                    false => vec![],
                }
            }
            None => vec![],
        };
        Ok(Some(named).filter(|named| !named.is_empty()))
    }

    /// The tensors of a dictionary by name. Numbers and texts beside them are no weights; what might be is refused.
    fn tensors(&mut self, pairs: &[(Value<'a>, Value<'a>)]) -> Result<Named<'a>, Reason> {
        self.spend(pairs.len())?;
        let mut named = vec![];
        for &(key, value) in pairs {
            let Value::Text(key) = key else { continue };
            if is_tensor(self.pickle, value) {
                named.push((name("", key)?, value));
            } else if let Some((module, class)) = self.pickle.class(value)
                && module.starts_with(b"numpy")
                && class == b"_reconstruct"
            {
                return Err(format!(
                    "`{}` is an array of NumPy's, no tensor; make it one before `torch.save`",
                    shown(key)
                ));
            }
        }
        Ok(named)
    }

    /// What an object has under a name.
    fn field(&self, object: Value<'a>, name: &[u8]) -> Option<Value<'a>> {
        let state = self.pickle.state(object).filter(|state| state.len() <= LONGEST)?;
        state.iter().rev().find(|(key, _)| *key == Value::Text(name)).map(|(_, value)| *value)
    }

    /// Whether it is a pickled `torch.nn.Module`. Its class, which may be anybody's, is not asked for.
    fn is_module(&self, value: Value<'a>) -> bool {
        self.field(value, b"_parameters").is_some() && self.field(value, b"_modules").is_some()
    }

    /// The `state_dict` of a pickled module: parameters, buffers, and those of the modules in it.
    fn modules(&mut self, root: Value<'a>) -> Result<Named<'a>, Reason> {
        let pickle = self.pickle;
        let mut named = vec![];
        let mut waiting = vec![(String::new(), root, 0)];
        while let Some((prefix, module, depth)) = waiting.pop() {
            if depth > DEEPEST {
                return Err(format!("holds modules within modules beyond {DEEPEST} levels"));
            }
            let held = |kind: &[u8]| {
                self.field(module, kind).and_then(|held| pickle.pairs(held)).unwrap_or_default()
            };
            let (parameters, buffers, within) = (held(b"_parameters"), held(b"_buffers"), held(b"_modules"));
            let left_out = self.field(module, b"_non_persistent_buffers_set").map(|set| members(pickle, set));
            let left_out = left_out.unwrap_or_default();
            self.spend(1 + parameters.len() + buffers.len() * (1 + left_out.len()) + within.len())?;
            let kept = buffers.iter().filter(|(key, _)| !left_out.contains(key));
            for &(key, value) in parameters.iter().chain(kept) {
                // None stands for a bias that there is not.
                if let (Value::Text(key), true) = (key, is_tensor(pickle, value)) {
                    named.push((name(&prefix, key)?, value));
                }
            }
            for &(key, value) in within {
                if let Value::Text(key) = key {
                    waiting.push((name(&prefix, key)? + ".", value, depth + 1));
                }
            }
        }
        Ok(named)
    }
}

fn name(prefix: &str, key: &[u8]) -> Result<String, Reason> {
    match std::str::from_utf8(key) {
        Ok(key) if prefix.len() + key.len() <= LONGEST => Ok(format!("{prefix}{key}")),
        Ok(_) => Err(format!("the name {}… is too long", shown(key))),
        Err(_) => Err(format!("the name {} is not UTF-8", shown(key))),
    }
}

/// What is in a set, as a node of its own or as a call of Python's `set` with a list.
fn members<'p, 'a>(pickle: &'p Pickle<'a>, set: Value<'a>) -> &'p [Value<'a>] {
    let called = || pickle.items(*pickle.arguments(set)?.first()?);
    pickle.items(set).or_else(called).unwrap_or_default()
}
