//! Lists of labels as Python prints them: `['a', "b, c"]`, and NumPy's arrays without commas, `['a' 'b']`.

type Reason = String;

/// Whether a text is meant as a list: in brackets, as a tuple or a set of quoted labels, or as an array's `repr`.
pub(super) fn is_list(text: &str) -> bool {
    let quoted = |open: char, close: char| {
        let within = text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
        within.is_some_and(|within| within.trim_start().starts_with(['\'', '"']))
    };
    text.starts_with('[') && text.ends_with(']')
        || quoted('(', ')')
        || quoted('{', '}')
        || text.starts_with("array([") && text.ends_with(')')
}

/// The items of such a list; of `None` and `nan` an empty text.
///
/// # Errors
/// In words: what is no list of labels.
pub(super) fn items(text: &str) -> Result<Vec<String>, Reason> {
    let list = match text.strip_prefix("array(") {
        // `array(['a', 'b'], dtype=object)`.
        Some(array) => &array[..array.rfind(']').map_or(array.len(), |end| end + 1)],
        None => text,
    };
    let mut rest = list.get(1..list.len() - 1).unwrap_or_default().trim();
    let mut items = vec![];
    while !rest.is_empty() {
        let is_quoted = item(&mut rest, &mut items)?;
        let after = rest.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start(),
            // In NumPy's form nothing but space stands between two of them.
            None if after.is_empty() || after.len() < rest.len() => after,
            None if is_quoted => return Err("holds a list with something behind a quoted label".into()),
            None => after,
        };
    }
    Ok(items)
}

/// Takes one item, or several bare ones, and says whether the last stood in quotes.
fn item(rest: &mut &str, items: &mut Vec<String>) -> Result<bool, Reason> {
    if rest.starts_with("...") {
        return Err("holds a list that is cut short by `...`, as NumPy prints long ones".into());
    }
    // `np.str_('a')`, `np.int64(3)`.
    if let Some((name, value)) = rest.split_once('(')
        && ["np.", "numpy."].iter().any(|module| name.starts_with(module))
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
    {
        let mut value = value.trim_start();
        match value.starts_with(['\'', '"']) {
            true => items.push(quoted(&mut value)?),
            false => {
                let end = value.find(')').unwrap_or(value.len());
                items.push(value[..end].trim().to_string());
                value = &value[end..];
            }
        }
        let after = value.trim_start().strip_prefix(')');
        *rest = after.ok_or("holds a list with a bracket that never closes")?;
        return Ok(true);
    }
    let plain = rest.strip_prefix('u').filter(|rest| rest.starts_with(['\'', '"'])).unwrap_or(rest);
    if plain.starts_with(['\'', '"']) {
        *rest = plain;
        items.push(quoted(rest)?);
        return Ok(true);
    }
    let end = rest.find(',').unwrap_or(rest.len());
    let (bare, after) = rest.split_at(end);
    if bare.contains(['[', ']', '{', '}']) {
        return Err("holds a list within a list, expected labels".into());
    }
    let words: Vec<&str> = bare.split_whitespace().collect();
    let are_values = words.iter().all(|word| is_value(word));
    match words.as_slice() {
        // NumPy's numbers, and what else stands without quotes there.
        words if are_values => items.extend(words.iter().map(|word| value(word))),
        [first, ..] if bare.contains(['\'', '"']) && is_value(first) => {
            items.push(value(first));
            *rest = &rest[first.len()..];
            return Ok(false);
        }
        _ => items.push(bare.trim().to_string()),
    }
    *rest = after;
    Ok(false)
}

fn is_value(word: &str) -> bool {
    word.parse::<f64>().is_ok() || matches!(word, "None" | "True" | "False")
}

fn value(word: &str) -> String {
    if matches!(word, "None" | "nan") { String::new() } else { word.into() }
}

/// Takes a text in quotes, with Python's escapes.
fn quoted(rest: &mut &str) -> Result<String, Reason> {
    let open = || "holds a list with a quote that never closes".to_string();
    let mut chars = rest.char_indices();
    let quote = chars.next().map(|(_, quote)| quote).ok_or_else(open)?;
    let mut label = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                *rest = &rest[at + c.len_utf8()..];
                return Ok(label.trim().to_string());
            }
            '\\' => match chars.next().ok_or_else(open)?.1 {
                'n' => label.push('\n'),
                't' => label.push('\t'),
                'r' => label.push('\r'),
                escaped @ ('\\' | '\'' | '"') => label.push(escaped),
                kind @ ('x' | 'u' | 'U') => {
                    let digits = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let digits: String = chars.by_ref().take(digits).map(|(_, digit)| digit).collect();
                    let found = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    label.push(found.ok_or("holds a list with an escape that is no character")?);
                }
                // As Python does.
                other => label.extend(['\\', other]),
            },
            c => label.push(c),
        }
    }
    Err(open())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_python_prints_them() {
        for (text, expected) in [
            ("['a, b', 'c']", &["a, b", "c"][..]),
            (r#"["it's", 'b']"#, &["it's", "b"]),
            (r"['it\'s \u00e9\n', 'b\d']", &["it's é", r"b\d"]),
            ("['a' 'b c'\n 'd']", &["a", "b c", "d"]),
            ("['a', None, nan]", &["a", "", ""]),
            ("['a' nan 'b']", &["a", "", "b"]),
            ("[nan 'b']", &["", "b"]),
            ("[1 2\n 30]", &["1", "2", "30"]),
            ("[1, 2.5]", &["1", "2.5"]),
            ("[two words, c (d)]", &["two words", "c (d)"]),
            ("['a',]", &["a"]),
            ("[]", &[]),
            ("('a', 'b')", &["a", "b"]),
            ("{'a'}", &["a"]),
            ("array(['a', 'b]'], dtype=object)", &["a", "b]"]),
            ("[np.str_('a, b'), np.int64(3)]", &["a, b", "3"]),
        ] {
            assert!(is_list(text), "{text}");
            assert_eq!(items(text).expect(text), expected, "{text}");
        }
        for text in ["a (b)", "(a)", "{a}", "[a] b", "", "array"] {
            assert!(!is_list(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_labels_is_said() {
        for (text, what) in [
            ("['a' ... 'b']", "cut short"),
            ("['a, b]", "never closes"),
            ("['a'b]", "behind a quoted label"),
            ("[['a'], ['b']]", "within a list"),
            (r"['\ud800']", "no character"),
            ("[np.str_('a']", "never closes"),
        ] {
            let found = items(text).expect_err(text);
            assert!(found.contains(what), "{text}: {found}");
        }
    }
}
