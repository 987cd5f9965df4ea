//! Numbers over time: files of measurements as windows to learn from, split by time, scaled by their training part; and the
//! naive forecasts that a model is held against.

mod config;
mod day_month;
mod gaps;
mod missing;
mod order;
mod places;
mod read;
mod scaler;
mod scores;
mod season;
mod sequences;
mod source;
mod spacing;
mod split;
mod table;
mod times;
mod trained;
mod windows;

pub use config::{BAND, SeriesConfig, TrainedPart};
pub use missing::Missing;
pub use scaler::{Scaler, Scaling, quantile};
pub use scores::{Figures as ForecastFigures, Scores};
pub use season::{naive, seasonal_naive};
pub use sequences::{BEFORE, PreparedSequences, Sample, SequenceConfig, SequenceOptions};
pub use source::TableSource;
pub use spacing::Spacing;
pub use split::{Part, PreparedSeries, SeriesOptions};
pub use table::{Columns, Group, Table, Times};
pub use times::TimeForm;
pub use trained::TrainedRows;
pub use windows::Scaled;
