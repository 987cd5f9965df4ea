//! Pictures: what is drawn, and what cannot be.
#![cfg(feature = "plot")]

use candle_recurrent::plot::{comparison, loss};
use candle_recurrent::train::{Epoch, History};

fn history(val_losses: &[f64]) -> History {
    let epoch = |(index, &val_loss): (usize, &f64)| {
        Epoch::new(index + 1, &[("loss", val_loss - 0.01), ("val_loss", val_loss)], 1.0)
    };
    History { epochs: val_losses.iter().enumerate().map(epoch).collect() }
}

#[test]
fn loss_curves_have_axes_a_legend_and_the_best_epoch() {
    let picture = loss("lstm on <imdb> & $x$", &history(&[0.6, 0.45, 0.5])).expect("a picture");
    let svg = picture.svg();
    for text in [
        ">epoch<",
        ">loss<",
        ">training<",
        ">validation<",
        "best: epoch 2, 0.4500",
        "lstm on &lt;imdb&gt; &amp; $x$",
    ] {
        assert!(svg.contains(text), "{text} is not in the picture");
    }
    let png = picture.png().expect("a PNG");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    // Width and height in the header chunk: twice the SVG's 760 by 460.
    assert_eq!(png[16..24], [0, 0, 5, 240, 0, 0, 3, 152]);
}

#[test]
fn one_epoch_is_enough_and_none_is_too_few() {
    assert!(loss("short", &history(&[0.6])).expect("a picture").svg().contains("best: epoch 1"));
    let error = loss("nothing", &History::default()).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("nothing: the history holds no finished epoch")));
    assert!(comparison("none", &[]).is_err());
    assert!(comparison("empty", &[("gru".into(), History::default())]).is_err());
}

#[test]
fn a_comparison_names_every_run_with_its_best() {
    let runs: Vec<_> =
        (0..8).map(|run| (format!("run-{run}"), history(&[0.7, 0.5 + f64::from(run) / 100.0]))).collect();
    let svg = comparison("runs", &runs).expect("a picture").svg();
    for (run, (name, _)) in runs.iter().enumerate() {
        assert!(svg.contains(&format!("{name}: {:.4} at 2", 0.5 + run as f64 / 100.0)));
    }
}

/// The drawing crate counts through the process; a picture does not depend on what was drawn before it.
#[test]
fn the_same_picture_has_the_same_bytes() {
    let svg = |losses: &[f64]| loss("lstm", &history(losses)).expect("a picture").svg();
    let first = svg(&[0.6, 0.5]);
    let other = svg(&[0.6, 0.4]);
    assert!(first != other && svg(&[0.6, 0.5]) == first);
    assert!(first.contains("id=\"kuva-clip-0\"") && first.contains("url(#kuva-clip-0)"));
}
