//! The words, and that what is read is what serde_json reads.

use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "class_name", content = "config")]
enum Tagged {
    Small(Numbers),
    List(Vec<Tagged>),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    units: usize,
    #[serde(default)]
    rate: f32,
    #[serde(default)]
    byte: u8,
    #[serde(default)]
    axis: i64,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(usize),
    Many(Vec<usize>),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    A,
    B(f64),
    C { units: u32 },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner(i32);

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default)]
struct Many {
    a: Option<bool>,
    b: String,
    units: Option<OneOrMany>,
    rate: Vec<Option<usize>>,
    byte: Option<(u8, Inner)>,
    axis: HashMap<String, f64>,
    config: Option<Box<Many>>,
    class_name: Option<Choice>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Default for Many {
    fn default() -> Self {
        let (a, b, units, rate, byte) = (None, String::new(), None, vec![], None);
        let (axis, config, class_name, others) = (HashMap::new(), None, None, Map::new());
        Self { a, b, units, rate, byte, axis, config, class_name, others }
    }
}

/// JSON with the names of the types' fields and classes among its texts.
fn anything() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "units",
        "rate",
        "byte",
        "axis",
        "config",
        "class_name",
        "Small",
        "List",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..300_u64).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let config = inner.clone();
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..5).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_string(), value))
                .collect()),
            (any::<bool>(), config).prop_map(|(small, config)| {
                json!({ "class_name": if small { "Small" } else { "List" }, "config": config })
            }),
            (0..9_u64, any::<f32>()).prop_map(|(units, rate)| json!({ "units": units, "rate": rate })),
        ]
    })
}

fn same<T: DeserializeOwned + PartialEq + std::fmt::Debug>(value: &Value) {
    let (ours, serdes) = (from_value::<T>(value), serde_json::from_value::<T>(value.clone()));
    match (&ours, &serdes) {
        (Ok(ours), Ok(serdes)) => assert_eq!(ours, serdes),
        (Err(wrong), Err(_)) => assert!(!wrong.to_string().contains('\n')),
        _ => panic!("{value}: {ours:?}, but {serdes:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_read_is_what_serde_json_reads(value in anything()) {
        same::<Tagged>(&value);
        same::<Numbers>(&value);
        same::<Many>(&value);
        same::<Vec<Choice>>(&json!([value]));
        let text = value.to_string();
        prop_assert_eq!(parse(&text), Ok(serde_json::from_str::<Value>(&text).unwrap()));
    }
}

fn says<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    from_str::<T>(text).unwrap_err()
}

#[test]
fn mistakes_are_said_with_field_and_place() {
    assert_eq!(
        says::<Numbers>("{\"units\":\n  \"8\"}"),
        "units: expected a whole number from 0, found \"8\" at line 1 column 8"
    );
    assert_eq!(
        says::<Vec<Numbers>>("[{\"units\": 1},\n {\"units\": 2, \"byte\" : 256}]"),
        "[1].byte: expected a whole number from 0 to 255, found 256 at line 2 column 20"
    );
    assert_eq!(
        says::<Many>(r#"{"config": {"rate": [1, {}]}}"#),
        "config.rate[1]: expected a whole number from 0, found an object at line 1 column 25"
    );
    assert_eq!(
        says::<Numbers>(r#"{"unit": 3}"#),
        "the field `unit` is unknown at line 1 column 7; did you mean `units`?"
    );
    assert_eq!(says::<Numbers>("{}"), "lacks the field `units`");
    assert_eq!(says::<Numbers>("null"), "expected an object, found null");
    assert_eq!(says::<Vec<bool>>("[true, 0.5]"), "[1]: expected true or false, found 0.5 at line 1 column 8");
    assert_eq!(says::<Choice>("\"d\""), "`d` is unknown; known are a, b, c");
    assert_eq!(
        says::<Numbers>("{\"units\": 1"),
        "ends too early, in the middle of its JSON at line 1 column 11"
    );
    assert!(says::<Numbers>("{\"units\": 1,}").starts_with("is not JSON: trailing comma at line 1 column"));
    let twice = says::<Numbers>(r#"{"units": 1, "units": 2}"#);
    assert!(twice.starts_with("the field `units` stands twice at line 1 column "), "{twice}");
}

/// On a thread with as little stack as any.
#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let check = move || {
        assert!(parse(&nested(DEPTH)).is_ok());
        for levels in [DEPTH + 1, 100_000] {
            for text in [nested(levels), "{\"a\":".repeat(levels)] {
                let what = parse(&text).unwrap_err();
                assert_eq!(what, "is nested too deep: more than 256 lists and objects within each other");
            }
        }
        // What stands in texts is no nesting.
        assert!(parse(&format!("[\"\\\"{}\"]", "[".repeat(1000))).is_ok());
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap();
    thread.join().unwrap();
}
