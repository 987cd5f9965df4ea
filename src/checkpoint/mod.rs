//! The model folder: what a training run leaves behind and everything else reads.
//!
//! | file | what it holds |
//! |---|---|
//! | `config.json` | the layers, the training recipe, and what the run came to ([`Config`]) |
//! | `model.safetensors` | the best epoch's weights, by Keras's names; metadata: format, model, epoch, val_loss |
//! | `optimizer.safetensors` | the optimiser's state of that epoch, by variable (`lstm.kernel/velocity`) |
//! | `tokenizer.json` | the vocabulary, in the Hugging Face format; of Keras's `Tokenizer` in Keras's |
//! | `history.csv` | the figures of every epoch |
//! | `loss.svg`, `loss.png` | the loss curves |
//! | `README.md` | a model card for the Hugging Face Hub |
//!
//! A reader never sees half a file, nor files of two models: `config.json` names the others by their sums ([`Saved`]).

mod card;
mod claim;
mod config;
mod ensemble;
mod folder;
mod head;
mod own_card;
mod parts;
mod run;
mod saved;
mod sequences;
mod series;

pub use card::{card, card_at, recurrent_in_words};
pub use claim::Claim;
pub use config::{CONFIG_FILE, Config, Recipe, Results, from_value};
pub use ensemble::{Member, ensemble};
pub use folder::{
    CARD_FILE, Checkpoint, Contents, FORECAST_PNG_FILE, FORECAST_SVG_FILE, HISTORY_FILE, ModelFolder,
    OPTIMIZER_FILE, PNG_FILE, STATE_FILE, SVG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, Whole,
};
pub use run::{RunOf, SavedRun};
pub use saved::{FORMAT_VERSION, Saved};
