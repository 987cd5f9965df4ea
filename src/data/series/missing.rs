//! What is done where numbers or times are missing.

use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// What is done where numbers or times are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// They are refused, with their line.
    #[default]
    Refuse,
    /// The last number before is taken, also for rows whose times are missing.
    Forward,
    /// Rows without a number are left out, and rows are taken one after the other, whatever their times.
    Skip,
}

impl FromStr for Missing {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "forward" => Ok(Self::Forward),
            "skip" => Ok(Self::Skip),
            _ => Err("give refuse, forward or skip".into()),
        }
    }
}
