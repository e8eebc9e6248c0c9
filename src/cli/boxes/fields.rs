//! A JSON object whose values keep the text that they were written in: no digit of a number changes on the way through.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter, Write};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The names and values of an object, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields<'t>(Vec<(String, Cow<'t, str>)>);

impl<'t> Fields<'t> {
    /// Reads an object; None for other JSON.
    pub fn read(text: &'t str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Returns the text of a value: the last of that name, as all readers do.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rfind(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Returns a value of a type, if it has it.
    pub fn value<'s, T: Deserialize<'s>>(&'s self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?).ok()
    }

    /// Returns the names and the texts of the values.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Puts a value in its place, or at the end.
    pub fn set(&mut self, name: &str, value: &Value) {
        self.set_text(name, value.to_string());
    }

    /// Puts the text of a value in its place, or at the end.
    pub fn set_text(&mut self, name: &str, text: String) {
        match self.0.iter_mut().rfind(|(key, _)| key == name) {
            Some((_, old)) => *old = text.into(),
            None => self.0.push((name.to_owned(), text.into())),
        }
    }

    /// Removes all values of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    all.push((name, Cow::Borrowed(value.get())));
                }
                Ok(Fields(all))
            }
        }

        from.deserialize_map(Object)
    }
}

/// Writes it in one line, but for line breaks inside its values.
impl Display for Fields<'_> {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        f.write_char('{')?;
        for (at, (name, value)) in self.0.iter().enumerate() {
            let before = if at == 0 { "" } else { ", " };
            write!(f, "{before}{}: {value}", Value::from(name.as_str()))?;
        }
        f.write_char('}')
    }
}

/// Reads a list, without its elements; None for other JSON.
pub fn list(text: &str) -> Option<Vec<&str>> {
    let all: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(all.into_iter().map(RawValue::get).collect())
}

/// Reads a number, to the last digit.
pub fn number(text: &str) -> Option<f64> {
    text.parse().ok() // no other JSON is a number to Rust
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text() {
        let text = r#"{"a": 0.10000000000000000555, "b": [18446744073709551616, 1e-05], "c\n": {"x": "é"}, "a": 1.50}"#;
        let mut fields = Fields::read(text).unwrap();
        assert_eq!(fields.to_string(), text);
        assert_eq!((fields.get("a"), fields.value::<bool>("a")), (Some("1.50"), None));
        fields.set("b", &Value::Null);
        fields.remove("a");
        assert_eq!(fields.to_string(), r#"{"b": null, "c\n": {"x": "é"}}"#);
        assert!(Fields::read("[]").is_none() && list("{}").is_none() && list("[1, [2]]").unwrap() == ["1", "[2]"]);
        assert_eq!(
            [number("0.1234567890123456789"), number("null"), number("\"1\"")],
            [Some(0.12345678901234568), None, None]
        );
    }
}
