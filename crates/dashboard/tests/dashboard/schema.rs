//! Whether a value is what a schema of the OpenAPI document says. Stricter than JSON Schema: what is not described may not be there, and a
//! keyword that is not known here fails, so that nothing passes unseen.

use serde_json::{Map, Value};

/// Keywords that say nothing of what is valid.
const NOTES: [&str; 6] = ["description", "title", "format", "example", "examples", "default"];

/// A document, in which schemas refer to each other.
pub(crate) struct Document(pub(crate) Value);

/// What anyone may ask of a path.
pub(crate) struct Operation<'d> {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) said: &'d Value,
}

/// Who may ask, as the document says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Anyone,
    Viewer,
    May(String),
}

impl Operation<'_> {
    /// A path that can be asked for.
    pub(crate) fn example_path(&self) -> String {
        let parts = self.path.split('/').map(|part| match part {
            "{id}" => "bed_1",
            part if part.starts_with('{') => "1",
            part => part,
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Its rule; panics when it has none.
    pub(crate) fn rule(&self) -> Rule {
        let security =
            self.said["security"].as_array().unwrap_or_else(|| panic!("{} has no rule", self.path));
        let rights: Vec<Vec<&str>> = security
            .iter()
            .map(|one| {
                let (_, rights) = one.as_object().unwrap().iter().next().unwrap();
                rights.as_array().unwrap().iter().map(|right| right.as_str().unwrap()).collect()
            })
            .collect();
        assert!(
            rights.windows(2).all(|two| two[0] == two[1]),
            "one rule, whatever the way in: {}",
            self.path
        );
        match rights.first().map(Vec::as_slice) {
            None => Rule::Anyone,
            Some([]) => Rule::Viewer,
            Some([right]) => Rule::May((*right).to_owned()),
            Some(_) => panic!("{} wants several rights", self.path),
        }
    }
}

impl Document {
    /// All that can be asked; what ends the session comes last.
    pub(crate) fn operations(&self) -> Vec<Operation<'_>> {
        let mut all = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, said) in item.as_object().unwrap() {
                all.push(Operation { method: method.to_uppercase(), path: path.clone(), said });
            }
        }
        all.sort_by_key(|operation| operation.method == "DELETE" && operation.path.ends_with("/session"));
        all
    }

    /// Whether a value is of the schema; what is wrong, and where.
    pub(crate) fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        self.at("", schema, value)
    }

    fn at(&self, place: &str, schema: &Value, value: &Value) -> Result<(), String> {
        let wrong =
            |what: String| Err(format!("{}: {what}: {value}", if place.is_empty() { "/" } else { place }));
        let schema = schema.as_object().unwrap();
        for (keyword, said) in schema {
            match keyword.as_str() {
                note if NOTES.contains(&note) => {}
                "$ref" => self.at(place, self.named(said.as_str().unwrap()), value)?,
                "type" if !is_of_type(said, value) => return wrong(format!("is no {said}")),
                "enum" if !said.as_array().unwrap().contains(value) => {
                    return wrong(format!("is none of {said}"));
                }
                "minimum" if value.is_number() && value.as_f64() < said.as_f64() => {
                    return wrong(format!("is less than {said}"));
                }
                "maximum" if value.is_number() && value.as_f64() > said.as_f64() => {
                    return wrong(format!("is more than {said}"));
                }
                "type" | "enum" | "minimum" | "maximum" => {}
                "oneOf" | "anyOf" => {
                    let tries = said.as_array().unwrap().iter().map(|one| self.at(place, one, value));
                    let (fit, not): (Vec<_>, Vec<_>) = tries.partition(Result::is_ok);
                    if fit.len() != 1 {
                        return wrong(format!("fits {} of the alternatives, {not:?}", fit.len()));
                    }
                }
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.at(&format!("{place}/{n}"), said, item)?;
                    }
                }
                "required" => {
                    for name in said.as_array().unwrap() {
                        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                            return wrong(format!("lacks {name}"));
                        }
                    }
                }
                "properties" | "additionalProperties" | "propertyNames" => {}
                other => return wrong(format!("the checker does not know `{other}`")),
            }
        }
        self.members(place, schema, value)
    }

    fn members(&self, place: &str, schema: &Map<String, Value>, value: &Value) -> Result<(), String> {
        let (Some(members), Some("object")) = (value.as_object(), schema.get("type").and_then(main_type))
        else {
            return Ok(());
        };
        for (name, member) in members {
            let place = format!("{place}/{name}");
            let said = schema.get("properties").and_then(|properties| properties.get(name));
            match said.or(schema.get("additionalProperties")) {
                Some(said) if said.is_object() => self.at(&place, said, member)?,
                _ => return Err(format!("{place}: is not in the document: {member}")),
            }
        }
        Ok(())
    }

    /// The schema of this name.
    pub(crate) fn named(&self, reference: &str) -> &Value {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "the document has no {name}");
        schema
    }
}

/// The type that is not null.
fn main_type(said: &Value) -> Option<&str> {
    match said {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|one| *one != "null"),
        one => one.as_str(),
    }
}

fn is_of_type(said: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type is called {other}"),
    };
    match said {
        Value::Array(types) => types.iter().any(is),
        one => is(one),
    }
}

#[test]
fn what_is_not_described_or_of_another_type_is_found() {
    let document = Document(serde_json::json!({"components": {"schemas": {"Bed": {
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer", "minimum": 0},
            "name": {"type": ["string", "null"]},
            "beds": {"type": "array", "items": {"$ref": "#/components/schemas/Bed"}},
            "age": {"type": ["integer", "null"], "minimum": 0},
            "either": {"oneOf": [{"type": "null"}, {"type": "string", "enum": ["a"]}]},
        },
    }}}}));
    let bed = document.named("#/components/schemas/Bed");
    let check = |text: &str| document.check(bed, &serde_json::from_str(text).unwrap());
    for fine in [
        r#"{"n":1}"#,
        r#"{"n":0,"name":null,"beds":[{"n":2}],"either":"a"}"#,
        r#"{"n":1,"either":null,"age":null}"#,
    ] {
        assert_eq!(check(fine), Ok(()), "{fine}");
    }
    for wrong in [
        "[]",
        "{}",
        r#"{"n":-1}"#,
        r#"{"n":1.5}"#,
        r#"{"n":1,"name":2}"#,
        r#"{"n":1,"age":-1}"#,
        r#"{"n":1,"other":2}"#,
        r#"{"n":1,"beds":[{}]}"#,
        r#"{"n":1,"either":"b"}"#,
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
    assert!(document.check(&serde_json::json!({"pattern": "a"}), &"a".into()).is_err());
}
