//! Streams `{"webhooks-failures":[{"webhooks-failure":{…}}, …]}`, element by element.

use std::io::BufRead;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;
use serde_json::error::Category;

use super::{ListError, TakeTexts, Texts};

/// Hands each element to `take` until it returns false.
pub(super) fn each(input: &mut dyn BufRead, take: TakeTexts<'_>) -> Result<(), ListError> {
    let mut json = serde_json::Deserializer::from_reader(input);
    let list = JsonList(take).deserialize(&mut json);
    // serde_json's own message may quote the document.
    let place = |e: &serde_json::Error| format!("line {}, column {}", e.line(), e.column());
    list.and_then(|()| json.end())
        .map_err(|e| match e.classify() {
            Category::Io => ListError::Io(e.into()),
            Category::Eof => ListError::Cut,
            Category::Data => ListError::Other(format!("not a list of failures: {}", place(&e))),
            Category::Syntax => ListError::Other(format!("not JSON: {}", place(&e))),
        })
}

/// The element may be wrapped in an object with the key `webhooks-failure`.
fn texts(element: Value) -> Result<Texts, String> {
    let Value::Object(mut fields) = element else {
        return Err("it is not an object".to_owned());
    };
    if let Some(Value::Object(inner)) = fields.remove("webhooks-failure") {
        fields = inner;
    }
    let mut texts = Texts::default();
    for (name, value) in fields {
        if let (Some(field), Value::String(text)) = (texts.field_mut(&name), value) {
            *field = Some(text);
        }
    }
    Ok(texts)
}

/// The list, or an object that contains it under the key `webhooks-failures`.
struct JsonList<'t>(TakeTexts<'t>);

impl<'de> DeserializeSeed<'de> for JsonList<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of failures")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "webhooks-failures" {
                found = true;
                map.next_value_seed(JsonList(&mut *self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if found {
            Ok(())
        } else {
            Err(A::Error::custom("no list"))
        }
    }

    /// `null` is an empty list.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            if !(self.0)(None, texts(element)) {
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
