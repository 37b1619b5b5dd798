//! Values in Python's notation, as `str` writes a dictionary.

use serde_json::{Map, Value};

/// The deepest nesting that is read.
const MOST_NESTED: usize = 16;

/// Reads a text, a number, `True`, `False`, `None`, or a list, a tuple or a dictionary of these. Keys become texts, as
/// in JSON. `None` if `text` is anything else.
pub(super) fn literal(text: &str) -> Option<Value> {
    let (value, rest) = value(text.trim(), MOST_NESTED)?;
    rest.is_empty().then_some(value)
}

/// Reads a value from the beginning of `text`. Returns the rest, too.
fn value(text: &str, depth: usize) -> Option<(Value, &str)> {
    let inside = depth.checked_sub(1)?;
    match text.chars().next()? {
        '\'' | '"' => string(text).map(|(value, rest)| (Value::String(value), rest)),
        open @ ('[' | '(') => {
            let close = if open == '[' { ']' } else { ')' };
            let mut list = Vec::new();
            let rest = items(&text[1..], close, |text| {
                let (item, rest) = value(text, inside)?;
                list.push(item);
                Some(rest)
            })?;
            Some((Value::Array(list), rest))
        }
        '{' => {
            let mut map = Map::new();
            let rest = items(&text[1..], '}', |text| {
                let (key, rest) = value(text, inside)?;
                let rest = rest.trim_start().strip_prefix(':')?;
                let (value, rest) = value(rest.trim_start(), inside)?;
                let key = match key {
                    Value::String(key) => key,
                    Value::Number(key) => key.to_string(),
                    _ => return None,
                };
                map.insert(key, value);
                Some(rest)
            })?;
            Some((Value::Object(map), rest))
        }
        _ => {
            let is_end = |c: char| c.is_whitespace() || ",:)]}".contains(c);
            let (word, rest) = text.split_at(text.find(is_end).unwrap_or(text.len()));
            let value = match word {
                "True" => Value::Bool(true),
                "False" => Value::Bool(false),
                "None" => Value::Null,
                number => match number.parse::<i64>() {
                    Ok(number) => number.into(),
                    Err(_) => serde_json::Number::from_f64(number.parse().ok()?)?.into(),
                },
            };
            Some((value, rest))
        }
    }
}

/// Reads items up to `close`, with commas between them. Returns the rest.
fn items<'a>(
    mut rest: &'a str,
    close: char,
    mut item: impl FnMut(&'a str) -> Option<&'a str>,
) -> Option<&'a str> {
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(close) {
            return Some(after);
        }
        rest = item(rest)?.trim_start();
        if let Some(next) = rest.strip_prefix(',') {
            rest = next;
        } else if !rest.starts_with(close) {
            return None;
        }
    }
}

/// Reads a text in quotes from the beginning of `text`. Returns the rest, too.
fn string(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((value, &text[at + 1..]));
        }
        if c != '\\' {
            value.push(c);
            continue;
        }
        let (_, escape) = chars.next()?;
        let digits = match escape {
            'n' => {
                value.push('\n');
                continue;
            }
            't' => {
                value.push('\t');
                continue;
            }
            'r' => {
                value.push('\r');
                continue;
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => {
                value.push(other);
                continue;
            }
        };
        let code: String = chars
            .by_ref()
            .take(digits)
            .map(|(_, digit)| digit)
            .collect();
        value.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dictionary_as_python_writes_it() {
        let text = r#"{'task': 'classify', 'imgsz': [8, 8.5], 'end2end': False, 'x': None, 'y': (1,), 0: "miner's"}"#;
        let expected = json!({
            "task": "classify", "imgsz": [8, 8.5], "end2end": false, "x": null, "y": [1], "0": "miner's"
        });
        assert_eq!(literal(text).unwrap(), expected);
        assert_eq!(literal(" {} ").unwrap(), json!({}));
    }

    #[test]
    fn other_texts_are_no_literals() {
        let nested = format!("{}1{}", "[".repeat(17), "]".repeat(17));
        for text in [
            "", "{", "{1}", "[1 2]", "[,]", "[1]]", "true", "{[]: 1}", "f(1)", "1e999", &nested,
        ] {
            assert_eq!(literal(text), None, "{text}");
        }
        assert!(
            literal(&nested[1..nested.len() - 1]).is_none(),
            "the number is another level"
        );
        assert!(literal(&nested[2..nested.len() - 2]).is_some());
    }
}
