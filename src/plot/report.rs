//! The pictures of a report: confusion matrix, curves of true over false positives, reliability.

use super::{COLOURS, GREY, Picture, literal};
use crate::report::{Calibration, ClassFigures, Roc};
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

/// What a picture is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// White, with black letters.
    Paper,
    /// A page whose own ground and letters it takes over, be they light or dark; for SVG only.
    Page,
}

/// Matrices of more classes are not drawn: nobody could read them.
const MOST_DRAWN: usize = 200;

/// The curves of so many classes are drawn, those first that enclose least.
const MOST_CURVES: usize = COLOURS.len();

/// Rows by what they are and what they are taken for, the darker the greater their share of what they are; none of more than
/// 200 classes.
pub fn confusion(classes: &[ClassFigures], matrix: &[Vec<usize>], ground: Ground) -> Option<Picture> {
    let count = classes.len();
    if count == 0 || count > MOST_DRAWN {
        return None;
    }
    let cell = (560.0 / count as f64).clamp(4.0, 96.0);
    let size = if cell >= 11.0 { 12 } else { 0 };
    let names: Vec<String> = classes.iter().map(|class| shortened(&class.label)).collect();
    let widest = names.iter().map(|name| width(name, 12)).fold(0.0, f64::max);
    // Names stand upright where they are wider than their column.
    let upright = widest + 8.0 > cell;
    let (left, top) = (widest + 44.0, 40.0);
    let below = if upright { widest + 16.0 } else { 26.0 };
    let side = cell * count as f64;
    let mut canvas = Canvas::new(left + side + 24.0, top + side + below + 28.0, ground);
    canvas.text(
        (left + side / 2.0, 22.0),
        "rows by class, and what they are taken for",
        14,
        TextAnchor::Middle,
        0.0,
    );
    for (at, (row, name)) in matrix.iter().zip(&names).enumerate() {
        let all: usize = row.iter().sum();
        let y = top + at as f64 * cell;
        for (column, &found) in row.iter().enumerate().filter(|(_, found)| **found > 0) {
            let (x, share) = (left + column as f64 * cell, found as f64 / all as f64);
            let colour = if column == at { COLOURS[0] } else { COLOURS[1] };
            canvas.rect((x, y), (cell, cell), colour, 0.08 + 0.82 * share);
            let shown = found.to_string();
            if width(&shown, 13) + 4.0 < cell && cell >= 18.0 {
                let place = (x + cell / 2.0, y + cell / 2.0 + 4.5);
                canvas.text_in(place, &shown, 13, TextAnchor::Middle, 0.0, (share > 0.5).then_some("white"));
            }
        }
        if size > 0 {
            canvas.text((left - 6.0, y + cell / 2.0 + 4.0), name, size, TextAnchor::End, 0.0);
            let x = left + (at as f64 + 0.5) * cell;
            match upright {
                true => canvas.text((x + 4.0, top + side + 6.0), name, size, TextAnchor::End, -90.0),
                false => canvas.text((x, top + side + 18.0), name, size, TextAnchor::Middle, 0.0),
            }
        }
    }
    canvas.frame((left, top), (side, side));
    canvas.text((left + side / 2.0, top + side + below + 16.0), "taken for", 13, TextAnchor::Middle, 0.0);
    canvas.text((16.0, top + side / 2.0), "class", 13, TextAnchor::Middle, -90.0);
    Some(canvas.picture())
}

/// The curves of true over false positives, each with its name; of many, those that enclose least. None where there are none.
pub fn roc(curves: &[(&str, &Roc)], ground: Ground) -> Option<Picture> {
    if curves.is_empty() {
        return None;
    }
    let mut shown: Vec<&(&str, &Roc)> = curves.iter().collect();
    if shown.len() > MOST_CURVES {
        shown.sort_by(|a, b| a.1.area.total_cmp(&b.1.area));
        shown.truncate(MOST_CURVES);
    }
    let mut axes = Axes::new("rate of false positives", "rate of true positives", ground);
    axes.diagonal();
    for (index, (name, curve)) in shown.iter().enumerate() {
        axes.line(&thinned(&curve.points), COLOURS[index % COLOURS.len()]);
        // Below the diagonal nothing good is drawn, so the names stand there.
        let from_below = shown.len() - 1 - index;
        axes.legend(
            from_below,
            COLOURS[index % COLOURS.len()],
            &format!("{}: {:.4}", shortened(name), curve.area),
        );
    }
    Some(axes.canvas.picture())
}

/// The share that came true over the probability, a point a bin that holds some; below, how many each bin holds. None where
/// there are none.
pub fn reliability(calibration: &Calibration, ground: Ground) -> Option<Picture> {
    let all: usize = calibration.bins.iter().map(|bin| bin.count).sum();
    let most = calibration.bins.iter().map(|bin| bin.count).max().filter(|most| *most > 0)?;
    let mut axes = Axes::new("probability", "share that is so", ground);
    for bin in calibration.bins.iter().filter(|bin| bin.count > 0) {
        let height = 0.22 * bin.count as f64 / most as f64;
        axes.column(bin.from, bin.to, height);
    }
    axes.diagonal();
    let points: Vec<(f64, f64)> =
        calibration.bins.iter().filter_map(|bin| Some((bin.mean_probability?, bin.share?))).collect();
    axes.line(&points, COLOURS[0]);
    points.iter().for_each(|point| axes.dot(*point, COLOURS[0]));
    let error = format!("calibration error {:.4}", calibration.expected_calibration_error);
    axes.note(&[error, format!("columns: rows a bin, {all} in all")]);
    Some(axes.canvas.picture())
}

/// As many points as a picture shows.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(400).max(1);
    let mut thin: Vec<(f64, f64)> = points.iter().step_by(step).copied().collect();
    thin.extend(points.last().filter(|_| !(points.len() - 1).is_multiple_of(step)));
    thin
}

/// A name that leaves room for the picture.
fn shortened(name: &str) -> String {
    const MOST: usize = 20;
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match name.chars().count() > MOST {
        true => name.chars().take(MOST - 1).chain(['…']).collect(),
        false => name,
    }
}

/// About how wide a text is: letters beyond Latin, Greek and Cyrillic fill a square.
fn width(text: &str, size: u32) -> f64 {
    text.chars().map(|c| if u32::from(c) < 0x1100 { 0.58 } else { 1.0 }).sum::<f64>() * f64::from(size)
}

/// What is drawn so far.
struct Canvas {
    scene: Scene,
    ink: &'static str,
}

impl Canvas {
    fn new(width: f64, height: f64, ground: Ground) -> Self {
        let mut scene = Scene::new(width, height);
        let ink = match ground {
            Ground::Paper => "black",
            Ground::Page => "currentColor",
        };
        if ground == Ground::Page {
            scene.background_color = None;
        }
        scene.text_color = Some(ink.into());
        Self { scene, ink }
    }

    fn text(&mut self, place: (f64, f64), text: &str, size: u32, anchor: TextAnchor, rotate: f64) {
        self.text_in(place, text, size, anchor, rotate, None);
    }

    fn text_in(
        &mut self,
        (x, y): (f64, f64),
        text: &str,
        size: u32,
        anchor: TextAnchor,
        rotate: f64,
        colour: Option<&str>,
    ) {
        let color = Some(Color::from(colour.unwrap_or(self.ink)));
        let rotate = (rotate != 0.0).then_some(rotate);
        self.scene.add(Primitive::Text {
            x,
            y,
            content: literal(text),
            size,
            anchor,
            rotate,
            bold: false,
            color,
        });
    }

    fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str, opacity: f64) {
        let (fill, opacity) = (Color::from(colour), Some(opacity));
        self.scene.add(Primitive::Rect {
            x,
            y,
            width,
            height,
            fill,
            stroke: None,
            stroke_width: None,
            opacity,
        });
    }

    fn frame(&mut self, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let (stroke, stroke_width) = (Some(Color::from(self.ink)), Some(1.0));
        let fill = Color::None;
        self.scene.add(Primitive::Rect { x, y, width, height, fill, stroke, stroke_width, opacity: None });
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64, dashes: Option<&str>) {
        self.scene.add(Primitive::Line {
            x1: from.0,
            y1: from.1,
            x2: to.0,
            y2: to.1,
            stroke: Color::from(colour),
            stroke_width: width,
            stroke_dasharray: dashes.map(String::from),
        });
    }

    fn picture(self) -> Picture {
        Picture(self.scene)
    }
}

/// Two axes from 0 to 1.
struct Axes {
    canvas: Canvas,
}

const SIDE: f64 = 340.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 16.0;

impl Axes {
    fn new(x: &str, y: &str, ground: Ground) -> Self {
        let mut canvas = Canvas::new(LEFT + SIDE + 24.0, TOP + SIDE + 56.0, ground);
        for tick in 0..=5 {
            let at = f64::from(tick) / 5.0;
            let (across, up) = place((at, at));
            canvas.line((across, TOP + SIDE), (across, TOP + SIDE + 5.0), canvas.ink, 1.0, None);
            canvas.line((LEFT - 5.0, up), (LEFT, up), canvas.ink, 1.0, None);
            canvas.text((across, TOP + SIDE + 20.0), &format!("{at:.1}"), 12, TextAnchor::Middle, 0.0);
            canvas.text((LEFT - 9.0, up + 4.0), &format!("{at:.1}"), 12, TextAnchor::End, 0.0);
        }
        canvas.text((LEFT + SIDE / 2.0, TOP + SIDE + 44.0), x, 13, TextAnchor::Middle, 0.0);
        canvas.text((18.0, TOP + SIDE / 2.0), y, 13, TextAnchor::Middle, -90.0);
        canvas.frame((LEFT, TOP), (SIDE, SIDE));
        Self { canvas }
    }

    fn diagonal(&mut self) {
        self.canvas.line(place((0.0, 0.0)), place((1.0, 1.0)), GREY, 1.0, Some("4 4"));
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str) {
        for pair in points.windows(2) {
            self.canvas.line(place(pair[0]), place(pair[1]), colour, 2.0, None);
        }
    }

    fn dot(&mut self, point: (f64, f64), colour: &str) {
        let (cx, cy) = place(point);
        self.canvas.scene.add(Primitive::Circle {
            cx,
            cy,
            r: 3.5,
            fill: Color::from(colour),
            fill_opacity: None,
            stroke: None,
            stroke_width: None,
        });
    }

    fn column(&mut self, from: f64, to: f64, height: f64) {
        let (left, up) = place((from, height));
        let (right, down) = place((to, 0.0));
        self.canvas.rect((left + 1.0, up), (right - left - 2.0, down - up), GREY, 0.35);
    }

    /// A name with its colour, so many lines above the lower edge.
    fn legend(&mut self, line: usize, colour: &str, text: &str) {
        let y = TOP + SIDE - 14.0 - 18.0 * line as f64;
        let x = LEFT + SIDE - 10.0;
        self.canvas.text((x, y), text, 12, TextAnchor::End, 0.0);
        let begin = x - width(text, 12) - 8.0;
        self.canvas.line((begin - 18.0, y - 4.0), (begin, y - 4.0), colour, 3.0, None);
    }

    /// Lines in the upper left corner.
    fn note(&mut self, lines: &[String]) {
        for (at, line) in lines.iter().enumerate() {
            let y = TOP + 20.0 + 17.0 * at as f64;
            self.canvas.text((LEFT + 10.0, y), line, 12, TextAnchor::Start, 0.0);
        }
    }
}

fn place((x, y): (f64, f64)) -> (f64, f64) {
    (LEFT + x * SIDE, TOP + (1.0 - y) * SIDE)
}
