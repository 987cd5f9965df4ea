//! An optimiser's configuration: its ranges, and its JSON.

use super::formula::Tokens;
use super::registry::{OptimizerClass, OptimizerConfig};
use super::rmsprop::RmsProp;
use crate::train::options::{not_negative, open, part, positive};
use crate::train::schedules::LearningRate;
use crate::{Error, Result, json};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The arguments of all classes, Keras's names.
const COMMON: [&str; 10] = [
    "learning_rate",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
];

impl OptimizerConfig {
    /// The same with this learning rate: a number or a schedule.
    pub fn with_learning_rate(self, learning_rate: impl Into<LearningRate>) -> Self {
        Self { learning_rate: learning_rate.into(), ..self }
    }

    /// Checks every option's range.
    ///
    /// # Errors
    /// [`Error::Argument`] with the option's name. As in Keras, only one of the three ways to clip can be set.
    pub fn check(&self) -> Result<()> {
        self.class.check()?;
        self.learning_rate.check()?;
        if let Some(decay) = self.weight_decay {
            not_negative("weight_decay", decay)?;
        } else if matches!(self.class, OptimizerClass::AdamW(_)) {
            return Err(Error::argument("weight_decay", "AdamW needs one; take Adam to train without"));
        }
        let clips = [
            ("clipnorm", self.clipnorm),
            ("clipvalue", self.clipvalue),
            ("global_clipnorm", self.global_clipnorm),
        ];
        for (name, limit) in clips {
            limit.map_or(Ok(()), |limit| positive(name, limit))?;
        }
        let set: Vec<_> = clips.iter().filter(|(_, limit)| limit.is_some()).map(|(name, _)| *name).collect();
        if set.len() > 1 {
            return Err(Error::argument(set.join(" and "), "give only one of them"));
        }
        part("ema_momentum", self.ema_momentum)?;
        match self.ema_overwrite_frequency {
            Some(0) => {
                let what = "0 does not work, give at least 1, or leave it out for never";
                return Err(Error::argument("ema_overwrite_frequency", what));
            }
            Some(_) if !self.use_ema => {
                let what =
                    "there are no averages to write without use_ema; set that to true or leave this out";
                return Err(Error::argument("ema_overwrite_frequency", what));
            }
            _ => {}
        }
        self.loss_scale_factor.map_or(Ok(()), |factor| positive("loss_scale_factor", factor))?;
        match self.gradient_accumulation_steps {
            Some(steps @ 0..2) => {
                let what = format!("{steps} does not work, give at least 2, or leave it out for none");
                Err(Error::argument("gradient_accumulation_steps", what))
            }
            _ => Ok(()),
        }
    }

    /// What it takes of the gradients of a table's tokens beside their sum.
    pub(super) fn gathers(&self) -> Tokens {
        let clips = self.clipnorm.is_some() || self.global_clipnorm.is_some();
        match self.class.tokens() {
            // A sum does not show what Keras clips, and sums over batches are all that Keras has of them.
            _ if self.clipvalue.is_some() || self.gradient_accumulation_steps.is_some() => Tokens::Sum,
            // For the norm only.
            _ if self.global_clipnorm.is_some() => Tokens::Squares,
            Tokens::Sum if clips => Tokens::Squares,
            tokens => tokens,
        }
    }

    /// What it is in a sentence: `RMSprop with learning rate 0.0001`.
    pub fn in_words(&self) -> String {
        match &self.learning_rate {
            LearningRate::Constant(rate) => format!("{} with learning rate {rate}", self.class.name()),
            schedule => format!("{} with a {schedule}", self.class.name()),
        }
    }
}

/// A field taken out of an object; none where it is left out or null.
fn take<T: DeserializeOwned>(config: &mut Map<String, Value>, field: &str) -> Result<Option<T>> {
    match config.shift_remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match json::from_value(&value) {
            Ok(value) => Ok(Some(value)),
            // A schedule says itself which of its fields is wrong.
            Err(wrong) if value.is_object() => Err(Error::argument("optimizer", wrong)),
            Err(wrong) => Err(Error::argument(field, wrong)),
        },
    }
}

impl TryFrom<Value> for OptimizerConfig {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        let (class, mut config) = match value {
            Value::String(class) => (class, Map::new()),
            Value::Object(object) if object.contains_key("class_name") => open("optimizer", object)?,
            Value::Object(arguments) => {
                (OptimizerClass::from(RmsProp::default()).name().to_string(), arguments)
            }
            other => {
                let what =
                    format!("expected a class's name or an object of class_name and config, found {other}");
                return Err(Error::argument("optimizer", what));
            }
        };
        let decays = config.contains_key("weight_decay");
        if config.get("learning_rate").is_some_and(Value::is_null) {
            return Err(Error::argument("learning_rate", "expected a number or a schedule, found null"));
        }
        let learning_rate = take(&mut config, "learning_rate")?;
        let weight_decay = take(&mut config, "weight_decay")?;
        let clipnorm = take(&mut config, "clipnorm")?;
        let clipvalue = take(&mut config, "clipvalue")?;
        let global_clipnorm = take(&mut config, "global_clipnorm")?;
        let use_ema = take(&mut config, "use_ema")?;
        let ema_momentum = take(&mut config, "ema_momentum")?;
        let ema_overwrite_frequency = take(&mut config, "ema_overwrite_frequency")?;
        let loss_scale_factor = take(&mut config, "loss_scale_factor")?;
        let gradient_accumulation_steps = take(&mut config, "gradient_accumulation_steps")?;
        let defaults = Self::from(OptimizerClass::of(&class, config, &COMMON)?);
        let config = Self {
            learning_rate: learning_rate.unwrap_or(defaults.learning_rate),
            weight_decay: if decays { weight_decay } else { defaults.weight_decay },
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema: use_ema.unwrap_or(defaults.use_ema),
            ema_momentum: ema_momentum.unwrap_or(defaults.ema_momentum),
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            class: defaults.class,
        };
        config.check()?;
        Ok(config)
    }
}

/// Keras's object; options of all classes that are left at none or off are left out.
impl From<OptimizerConfig> for Value {
    fn from(config: OptimizerConfig) -> Self {
        let mut fields = Map::new();
        fields.insert("learning_rate".into(), config.learning_rate.into());
        fields.extend(config.class.arguments());
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.into(), value);
            }
        };
        put("weight_decay", config.weight_decay.map(Value::from));
        put("clipnorm", config.clipnorm.map(Value::from));
        put("clipvalue", config.clipvalue.map(Value::from));
        put("global_clipnorm", config.global_clipnorm.map(Value::from));
        put("use_ema", config.use_ema.then_some(true.into()));
        put("ema_momentum", (config.ema_momentum != 0.99).then(|| config.ema_momentum.into()));
        put("ema_overwrite_frequency", config.ema_overwrite_frequency.map(Value::from));
        put("loss_scale_factor", config.loss_scale_factor.map(Value::from));
        put("gradient_accumulation_steps", config.gradient_accumulation_steps.map(Value::from));
        json!({ "class_name": config.class.name(), "config": fields })
    }
}
