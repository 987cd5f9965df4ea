//! Pictures: one run's loss curves, several runs in one comparison, forecasts against what came, and those of a report.
//!
//! A [`Picture`] is drawn once and given out as SVG text, PNG bytes or a file. The drawing crate (kuva, which brings its
//! own font) is known to this module only.

mod forecast;
mod report;

pub use forecast::{ForecastPicture, ForecastPoint, forecast};
pub use report::{Ground, confusion, reliability, roc};

use crate::formats::file::write_atomic;
use crate::train::{Epoch, History};
use crate::{Error, Result};
use kuva::backend::{raster::RasterBackend, svg::SvgBackend};
use kuva::plot::scatter::MarkerShape;
use kuva::plot::{LinePlot, ScatterPlot};
use kuva::prelude::{LegendPosition, Plot, ReferenceLine};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::render::{Scene, render_multiple};
use std::path::Path;

/// Okabe and Ito's colours without black and yellow: eight-way distinct for colour-blind readers too.
const COLOURS: [&str; 6] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const GREY: &str = "#888888";

/// A finished drawing.
pub struct Picture(Scene);

impl Picture {
    /// SVG text; fonts are the viewer's.
    pub fn svg(&self) -> String {
        numbered_anew(&SvgBackend::default().render_scene(&self.0))
    }

    /// PNG bytes at twice the SVG's size in pixels.
    ///
    /// # Errors
    /// Where the picture is too large for the rasteriser.
    pub fn png(&self) -> Result<Vec<u8>> {
        RasterBackend::new()
            .with_scale(2.0)
            .render_scene(&self.0)
            .map_err(|what| Error::argument("picture", format!("cannot be drawn as PNG: {what}")))
    }

    /// Writes it, whole or not at all: as PNG where the name ends in `.png`, as SVG where in `.svg`.
    ///
    /// # Errors
    /// [`Error::File`] for a name with another end, and where it cannot be written; as [`png`](Self::png).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_lowercase());
        let bytes = match suffix.as_deref() {
            Some("png") => self.png()?,
            Some("svg") => self.svg().into_bytes(),
            _ => return Err(Error::file(path, "a picture's name must end in .svg or .png")),
        };
        write_atomic(path, &bytes)
    }
}

/// The loss of one run: training and validation over the epochs, the epoch of the smallest validation loss marked.
///
/// # Errors
/// Where the history holds no epoch with finite losses.
pub fn loss(title: &str, history: &History) -> Result<Picture> {
    let best = history.best().ok_or_else(|| nothing_to_draw(title))?;
    let judged = history.judged_loss();
    let least = best.get(judged).unwrap_or(f64::NAN);
    let training = points(history, "loss");
    let mut plots: Vec<Plot> = vec![line(&training, COLOURS[0], "training").into()];
    if judged == "val_loss" {
        plots.push(line(&points(history, judged), COLOURS[1], "validation").into());
    }
    let colour = if judged == "val_loss" { COLOURS[1] } else { COLOURS[0] };
    plots.push(
        star(best, least, colour).with_legend(format!("best: epoch {}, {least:.4}", best.epoch)).into(),
    );
    if let [only] = training[..] {
        // A line of one point is invisible.
        plots.push(ScatterPlot::new().with_data([only]).with_color(COLOURS[0]).with_size(4.0).into());
    }
    let layout = layout(&plots, title, "loss", history.epochs.len()).with_reference_line(
        ReferenceLine::vertical(best.epoch as f64).with_color(GREY).with_dasharray("3 4"),
    );
    Ok(Picture(render_multiple(plots, layout)))
}

/// The validation loss of several named runs in one picture, each run's best epoch marked.
///
/// # Errors
/// Where there is no run, or one's history holds no epoch with finite losses.
pub fn comparison(title: &str, runs: &[(String, History)]) -> Result<Picture> {
    if runs.is_empty() {
        return Err(nothing_to_draw(title));
    }
    let mut plots: Vec<Plot> = Vec::new();
    for (index, (name, history)) in runs.iter().enumerate() {
        let best = history.best().ok_or_else(|| nothing_to_draw(name))?;
        let (judged, colour) = (history.judged_loss(), COLOURS[index % COLOURS.len()]);
        let least = best.get(judged).unwrap_or(f64::NAN);
        let label = format!("{name}: {least:.4} at {}", best.epoch);
        let mut curve = line(&points(history, judged), colour, &label);
        if index >= COLOURS.len() {
            curve = curve.with_dashed();
        }
        plots.push(curve.into());
        plots.push(star(best, least, colour).into());
    }
    let epochs = runs.iter().map(|(_, history)| history.epochs.len()).max();
    let layout = layout(&plots, title, "validation loss", epochs.unwrap_or(0));
    Ok(Picture(render_multiple(plots, layout)))
}

fn nothing_to_draw(name: &str) -> Error {
    Error::Data(format!("{name}: the history holds no finished epoch, so there is no curve to draw"))
}

fn points(history: &History, figure: &str) -> Vec<(f64, f64)> {
    let points = history.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, epoch.get(figure)?)));
    points.filter(|(_, y)| y.is_finite()).collect()
}

fn line(points: &[(f64, f64)], colour: &str, label: &str) -> LinePlot {
    LinePlot::new()
        .with_data(points.iter().copied())
        .with_color(colour)
        .with_stroke_width(2.0)
        .with_legend(literal(label))
}

fn star(best: &Epoch, loss: f64, colour: &str) -> ScatterPlot {
    ScatterPlot::new()
        .with_data([(best.epoch as f64, loss)])
        .with_color(colour)
        .with_size(7.0)
        .with_marker(MarkerShape::Star)
}

fn layout(plots: &[Plot], title: &str, y_label: &str, epochs: usize) -> Layout {
    let layout = Layout::auto_from_plots(plots)
        .with_width(760.0)
        .with_height(460.0)
        .with_title(literal(title))
        .with_x_label("epoch")
        .with_y_label(y_label)
        .with_x_tick_format(TickFormat::Auto)
        .with_y_tick_format(TickFormat::Auto)
        .with_x_axis_min(0.0)
        .with_legend_position(LegendPosition::InsideTopRight);
    // Short runs get one tick an epoch, never a fraction of one.
    if epochs <= 10 { layout.with_x_axis_max((epochs + 1) as f64).with_x_tick_step(1.0) } else { layout }
}

/// kuva counts its clipping frames through the whole life of the process; here each picture counts its own, so that the
/// same picture has the same bytes.
fn numbered_anew(svg: &str) -> String {
    const ID: &str = "kuva-clip-";
    let mut parts = svg.split(ID);
    let mut text = parts.next().unwrap_or_default().to_string();
    let mut known: Vec<&str> = Vec::new();
    for part in parts {
        let (number, rest) = part.split_at(part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len()));
        let index = known.iter().position(|&other| other == number).unwrap_or_else(|| {
            known.push(number);
            known.len() - 1
        });
        text.push_str(&format!("{ID}{index}{rest}"));
    }
    text
}

/// kuva reads `$…$` as mathematics; names are to be shown as they are.
fn literal(text: &str) -> String {
    text.replace('$', "\\$")
}
