//! Forecasts against what came.

use super::{COLOURS, Picture, line, literal};
use crate::{Error, Result};
use kuva::plot::{BandPlot, LinePlot};
use kuva::prelude::{LegendPosition, Plot};
use kuva::render::datetime::DateTimeAxis;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::render::render_multiple;

/// A series and forecasts of parts of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForecastPicture {
    /// What stands above.
    pub title: String,
    /// What the values are.
    pub values: String,
    /// What tells places apart: times, or rows.
    pub places: String,
    /// Whether places are seconds since the beginning of 1970.
    pub is_calendar: bool,
    /// What came, by place.
    pub truth: Vec<(f64, f64)>,
    /// Who forecasts.
    pub forecaster: String,
    /// The forecasts, each by place.
    pub forecasts: Vec<Vec<ForecastPoint>>,
}

/// A step of a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForecastPoint {
    /// Where it is.
    pub place: f64,
    /// What is forecast.
    pub value: f64,
    /// The band around it.
    pub band: Option<[f64; 2]>,
}

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// Marks of a calendar over so many seconds, no more than there is room for.
fn calendar(seconds: f64) -> DateTimeAxis {
    const MOST: f64 = 7.0;
    /// Seconds of a unit, its axis, how a mark is written, and how many units there may be between two.
    type Unit = (f64, fn(&str) -> DateTimeAxis, &'static str, &'static [usize]);
    let units: [Unit; 5] = [
        (60.0, DateTimeAxis::minutes, "%H:%M", &[1, 2, 5, 10, 15, 30]),
        (3600.0, DateTimeAxis::hours, "%m-%d %H:00", &[1, 2, 3, 6, 12]),
        (DAY, DateTimeAxis::days, "%Y-%m-%d", &[1, 2, 4, 7, 14]),
        (30.4 * DAY, DateTimeAxis::months, "%b %Y", &[1, 2, 3, 6]),
        (365.25 * DAY, DateTimeAxis::years, "%Y", &[1, 2, 5, 10, 20, 50, 100, 200, 500]),
    ];
    for (length, axis, format, steps) in units {
        if let Some(step) = steps.iter().find(|step| seconds / (length * **step as f64) <= MOST) {
            return axis(format).with_step(*step);
        }
    }
    DateTimeAxis::years("%Y").with_step(1000)
}

/// Draws forecasts, each with its band, over what came.
///
/// # Errors
/// [`Error::Data`] where there is nothing to draw, or a number is not finite.
pub fn forecast(picture: &ForecastPicture) -> Result<Picture> {
    let points = || picture.forecasts.iter().flatten();
    let bands = points().flat_map(|point| point.band.unwrap_or([point.value; 2]));
    let numbers = picture.truth.iter().flat_map(|&(place, value)| [place, value]);
    let all: Vec<f64> =
        numbers.chain(points().flat_map(|point| [point.place, point.value])).chain(bands).collect();
    if picture.truth.len() < 2 || points().next().is_none() || !all.iter().all(|number| number.is_finite()) {
        return Err(Error::Data(format!("{}: there is no forecast to draw", picture.title)));
    }
    let mut plots: Vec<Plot> = vec![];
    let mut named = false;
    for steps in &picture.forecasts {
        let banded: Vec<(f64, [f64; 2])> =
            steps.iter().filter_map(|point| Some((point.place, point.band?))).collect();
        if banded.is_empty() {
            continue;
        }
        let places = banded.iter().map(|(place, _)| *place);
        let band = BandPlot::new(places, banded.iter().map(|it| it.1[0]), banded.iter().map(|it| it.1[1]));
        let band = band.with_color(COLOURS[1]).with_opacity(0.25);
        plots.push(if named { band } else { band.with_legend("its band") }.into());
        named = true;
    }
    plots.push(line(&picture.truth, "#444444", "truth").with_stroke_width(1.5).into());
    for (at, steps) in picture.forecasts.iter().enumerate() {
        let curve = LinePlot::new()
            .with_data(steps.iter().map(|point| (point.place, point.value)))
            .with_color(COLOURS[1])
            .with_stroke_width(2.0);
        plots.push(if at == 0 { curve.with_legend(literal(&picture.forecaster)) } else { curve }.into());
    }
    let layout = Layout::auto_from_plots(&plots)
        .with_width(960.0)
        .with_height(460.0)
        .with_title(literal(&picture.title))
        .with_x_label(literal(&picture.places))
        .with_y_label(literal(&picture.values))
        .with_x_tick_format(TickFormat::Auto)
        .with_y_tick_format(TickFormat::Auto)
        .with_legend_position(LegendPosition::OutsideRightTop);
    let first = picture.truth.first().map_or(0.0, |point| point.0);
    let last =
        points().map(|point| point.place).fold(picture.truth.last().map_or(first, |it| it.0), f64::max);
    let layout = match picture.is_calendar {
        true => layout.with_x_axis_min(first).with_x_axis_max(last).with_x_datetime(calendar(last - first)),
        false => layout,
    };
    Ok(Picture(render_multiple(plots, layout)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_has_some_marks_and_not_too_many() {
        for days in [0.01, 0.1, 0.5, 1.0, 3.0, 9.0, 30.0, 90.0, 200.0, 900.0, 4000.0, 40_000.0] {
            let marks = calendar(days * DAY).generate_ticks(0.0, days * DAY).len();
            assert!((2..=8).contains(&marks), "{days} days have {marks} marks");
        }
    }
}
