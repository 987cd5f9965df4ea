//! Against Keras they stand in `tests/golden/optimizers.rs`.

use super::*;

#[test]
fn options_out_of_range_are_refused_by_name() {
    let cosine = CosineDecay {
        initial_learning_rate: 0.1,
        decay_steps: 10.0,
        alpha: 0.0,
        warmup_target: None,
        warmup_steps: 0.0,
    };
    let restarts = CosineDecayRestarts {
        initial_learning_rate: 0.1,
        first_decay_steps: 10.0,
        t_mul: 2.0,
        m_mul: 1.0,
        alpha: 0.0,
    };
    let cases: Vec<(&str, Schedule)> = vec![
        ("decay_steps", CosineDecay { decay_steps: 0.0, ..cosine.clone() }.into()),
        ("alpha", CosineDecay { alpha: 1.5, ..cosine.clone() }.into()),
        ("warmup_target", CosineDecay { warmup_target: Some(f64::NAN), ..cosine.clone() }.into()),
        ("initial_learning_rate", CosineDecay { initial_learning_rate: -1.0, ..cosine }.into()),
        ("t_mul", CosineDecayRestarts { t_mul: 0.5, ..restarts.clone() }.into()),
        ("first_decay_steps", CosineDecayRestarts { first_decay_steps: f64::NAN, ..restarts }.into()),
    ];
    for (name, schedule) in cases {
        let message = schedule.check().unwrap_err().to_string();
        assert!(message.starts_with(&format!("{name}: ")), "{message}");
    }
}
