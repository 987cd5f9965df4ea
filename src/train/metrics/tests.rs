use super::*;
use crate::layers::Activation;
use serde_json::{Value, json};

fn metric(value: Value) -> MetricConfig {
    MetricConfig::from_value(&value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn refusal(value: Value) -> String {
    MetricConfig::from_value(&value).expect_err("a refusal").to_string()
}

/// The arguments that a class cannot do without.
fn needed(class: &str) -> Value {
    match class {
        "SensitivityAtSpecificity" => json!({"specificity": 0.5}),
        "SpecificityAtSensitivity" => json!({"sensitivity": 0.5}),
        "PrecisionAtRecall" => json!({"recall": 0.5}),
        "RecallAtPrecision" => json!({"precision": 0.5}),
        _ => json!({}),
    }
}

/// As in the history of Keras: what a string asked for goes by that string, an object by its own name.
#[test]
fn names_in_the_logs() {
    for word in
        ["accuracy", "acc", "mse", "MSE", "AUC", "auc", "top_k_categorical_accuracy", "log_cosh_error", "bce"]
    {
        assert_eq!(metric(json!(word)).name(), word);
    }
    let of_class = |class: &str| metric(json!({"class_name": class, "config": needed(class)})).name();
    for (class, name) in [
        ("BinaryAccuracy", "binary_accuracy"),
        ("AUC", "auc"),
        ("FBetaScore", "fbeta_score"),
        ("LogCoshError", "logcosh"),
        ("F1Score", "f1_score"),
        ("mse", "mean_squared_error"),
        ("Accuracy", "accuracy"),
        ("PrecisionAtRecall", "precision_at_recall"),
    ] {
        assert_eq!(of_class(class), name);
    }
    assert_eq!(metric(json!({"class_name": "AUC", "config": {"name": "area"}})).name(), "area");
    assert_eq!(MetricConfig::CLASSES.len(), 37);
}

/// "accuracy" is one of three by the shapes; the class of that name is another.
#[test]
fn accuracy_by_the_shapes() {
    let accuracy = metric(json!("accuracy"));
    let name = Some("accuracy".to_string());
    assert_eq!(
        accuracy.resolve(1, 1),
        BinaryAccuracy { name: name.clone(), ..BinaryAccuracy::default() }.into()
    );
    assert_eq!(accuracy.resolve(4, 1), SparseCategoricalAccuracy { name: name.clone() }.into());
    assert_eq!(accuracy.resolve(4, 4), CategoricalAccuracy { name }.into());
    let class = metric(json!({"class_name": "Accuracy"}));
    assert_eq!(class, Accuracy::default().into());
    assert_eq!(class.resolve(4, 1), class);
    assert!(accuracy.check_output(4, 3).is_err());
}

/// Everything there is goes through JSON, in Keras's words, and its figure through a state.
#[test]
fn every_class_goes_through_json_and_state() {
    let outputs = [0.1, 0.8, 0.3, 0.6, 0.2, 0.9];
    let targets = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0];
    let numbers = [1.0, 0.0, 1.0];
    for class in MetricConfig::CLASSES {
        let mut written = json!({"class_name": class, "config": needed(class)});
        let config = metric(written.clone());
        let again = serde_json::to_value(&config).expect("JSON");
        assert_eq!(metric(again), config);
        written["module"] = json!("keras.metrics");
        written["registered_name"] = Value::Null;
        written["config"]["dtype"] = json!("float32");
        assert_eq!(metric(written), config);
        let batch = match config.check_output(2, 1) {
            Ok(()) => Scores::new(&outputs, 2, &numbers, 1),
            Err(_) => Scores::new(&outputs, 2, &targets, 2),
        };
        let (mut once, mut other) = (config.build(), config.build());
        once.update(&batch).expect("an update");
        other.load_state(&once.state()).expect("its own state");
        assert_eq!(other.result(), once.result(), "{class}");
        let twice = |mut gatherer: Box<dyn Metric>| {
            gatherer.update(&batch).expect("an update");
            gatherer.result()
        };
        assert_eq!(twice(other), twice(once), "{class}");
        assert!(config.build().load_state(&[1.0; 7]).is_err(), "{class}");
    }
}

#[test]
fn a_name_that_says_everything_is_written_alone() {
    for value in [json!("accuracy"), json!("mse"), json!("AUC"), json!("binary_accuracy")] {
        assert_eq!(serde_json::to_value(metric(value.clone())).expect("JSON"), value);
    }
    let auc = json!({"class_name": "AUC", "config": {"curve": "PR", "name": "auc"}});
    let written = serde_json::to_value(metric(auc)).expect("JSON");
    assert_eq!(written["config"]["curve"], "PR");
}

#[test]
fn refusals_say_what_to_do() {
    for (value, parts) in [
        (
            json!({"class_name": "accuracy", "config": {"name": "a"}}),
            ["takes no arguments", "binary_accuracy(…)"],
        ),
        (json!("acuracy"), ["`acuracy` is unknown", "did you mean `accuracy`?"]),
        (json!("BinaryAcuracy"), ["`BinaryAcuracy`", "did you mean `BinaryAccuracy`?"]),
        (json!("mean"), ["`mean` is unknown", "?"]),
        (json!("precision_at_recall"), ["metric precision_at_recall", "missing field `recall`"]),
        (json!(3), ["3", "a name or"]),
        (
            json!({"class_name": "AUC", "config": {"tresholds": 3}}),
            ["metric AUC", "unknown field `tresholds`"],
        ),
        (json!({"class_name": "AUC", "config": {"num_thresholds": 1}}), ["metric AUC", "at least 2"]),
        (json!({"class_name": "AUC", "config": {"num_thresholds": 1e18 as u64}}), ["metric AUC", "at most"]),
        (json!({"class_name": "AUC", "config": {"dtype": "float16"}}), ["float16", "only float32"]),
        (json!({"class_name": "AUC", "confg": {}}), ["`confg`", "class_name and config"]),
        (json!({"config": {}}), ["class_name", "missing"]),
        (json!({"class_name": "Precision", "config": {"thresholds": [0.5, 1.5]}}), ["1.5", "from 0 to 1"]),
        (json!({"class_name": "Recall", "config": {"top_k": 0}}), ["metric Recall", "at least 1"]),
        (json!({"class_name": "CosineSimilarity", "config": {"axis": 1}}), ["axis 1", "-1"]),
        (json!({"class_name": "F1Score", "config": {"threshold": 0.0}}), ["threshold 0", "above 0"]),
    ] {
        let refusal = refusal(value.clone());
        assert!(parts.iter().all(|part| refusal.contains(part)), "{value}: {refusal}");
        assert!(!refusal.contains('\n'), "{refusal}");
    }
}

/// An output and targets that do not go together are one sentence beforehand, and no panic in a batch.
#[test]
fn what_does_not_fit_is_refused() {
    let precision = metric(json!({"class_name": "Precision", "config": {"class_id": 3}}));
    assert!(precision.check_output(3, 3).expect_err("too few").contains("class_id 3"));
    let sparse = metric(json!("sparse_categorical_accuracy"));
    assert!(sparse.check_output(3, 3).expect_err("one-hot").contains("class numbers"));
    let refused =
        |config: &MetricConfig, batch: Scores| config.build().update(&batch).expect_err("a refusal");
    refused(&precision, Scores::new(&[0.5; 3], 3, &[1.0; 3], 3));
    for config in [metric(json!("accuracy")), metric(json!("mse")), metric(json!("AUC"))] {
        refused(&config, Scores::new(&[0.5; 3], 2, &[1.0; 3], 2));
        refused(&config, Scores::new(&[0.5; 4], 2, &[1.0; 3], 2));
        refused(&config, Scores::new(&[0.5; 4], 0, &[1.0; 4], 2));
        refused(&config, Scores::new(&[0.5; 4], 2, &[1.0; 4], 2).with_weights(Some(&[1.0])));
    }
    let crossentropy = metric(json!("sparse_categorical_crossentropy"));
    let error = refused(&crossentropy, Scores::new(&[0.5; 4], 2, &[0.0, 2.0], 1));
    assert!(error.to_string().contains("class 2 is not among"), "{error}");
}

/// Each class has one opinion, Keras's `_direction`.
#[test]
fn directions() {
    for (name, direction) in [
        ("accuracy", Some(Direction::Up)),
        ("auc", Some(Direction::Up)),
        ("r2_score", Some(Direction::Up)),
        ("cosine_similarity", Some(Direction::Up)),
        ("mse", Some(Direction::Down)),
        ("kl_divergence", Some(Direction::Down)),
        ("poisson", Some(Direction::Down)),
        ("true_positives", None),
    ] {
        assert_eq!(metric(json!(name)).direction(), direction, "{name}");
    }
}

/// In a softmax classes far behind the likeliest tie at 0, and all that tie on the last place are among the k likeliest.
#[test]
fn classes_tie_where_a_softmax_is_0() {
    let logits = [0.0, -200.0, -300.0, -1.0, 0.0, -200.0, -300.0, -1.0];
    let config = metric(json!({"class_name": "SparseTopKCategoricalAccuracy", "config": {"k": 3}}));
    let of = |activation| {
        let mut gatherer = config.build();
        let scores = Scores::new(&logits, 4, &[2.0, 1.0], 1).with_activation(activation);
        gatherer.update(&scores).expect("an update");
        gatherer.result()
    };
    assert_eq!(of(None), [0.5]);
    assert_eq!(of(Some(Activation::Softmax)), [1.0]);
}

#[test]
fn no_batch_is_a_figure_of_0() {
    for name in ["accuracy", "mse", "precision", "auc", "AUC"] {
        assert_eq!(metric(json!(name)).build().result(), [0.0], "{name}");
    }
}
