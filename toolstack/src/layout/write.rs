//! From a value to its fields as text.
//!
//! Owns the flattening, over the value's JSON form; it must not know any type.

use serde::Serialize;
use serde_json::Value;

use super::Node;

/// The fields of `value`. What is null is left out.
pub(super) fn to_node(value: &impl Serialize) -> Node {
    let json = serde_json::to_value(value).expect("BUG: our types have a JSON form");
    flatten(json).unwrap_or_else(|| Node::Directory([].into()))
}

fn flatten(json: Value) -> Option<Node> {
    match json {
        Value::Null => None,
        Value::String(text) => Some(Node::Text(text)),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            let fields = fields.filter_map(|(key, value)| Some((key, flatten(value)?)));
            Some(Node::Directory(fields.collect()))
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => Some(Node::Text(json.to_string())),
    }
}
