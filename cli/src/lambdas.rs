//! `--lambda`: operations in the place of the Lambdas of a file of Keras's.

use candle_recurrent::layers::OperationConfig;
use std::collections::BTreeMap;

/// The option, the same for every command that opens a model.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Lambdas {
    /// What a Lambda of a file of Keras's does, for its Python code is not executed: an operation of keras.ops, as in
    /// last=x[:,-1,:], total=sum(axis=1), half=multiply(0.5); may be given several times
    #[arg(long = "lambda", value_name = "NAME=OPERATION", value_parser = named)]
    given: Vec<(String, OperationConfig)>,
}

impl Lambdas {
    /// The operations by the names of the Lambdas.
    pub(super) fn by_name(&self) -> anyhow::Result<BTreeMap<String, OperationConfig>> {
        let mut lambdas = BTreeMap::new();
        for (name, operation) in &self.given {
            if lambdas.insert(name.clone(), operation.clone()).is_some() {
                anyhow::bail!("--lambda {name}: is given twice");
            }
        }
        Ok(lambdas)
    }
}

fn named(text: &str) -> Result<(String, OperationConfig), String> {
    let (name, operation) = text.split_once('=').ok_or("give NAME=OPERATION, as in last=x[:,-1,:]")?;
    let operation: OperationConfig = operation.parse().map_err(|error| format!("{error}"))?;
    Ok((name.trim().to_string(), operation))
}
