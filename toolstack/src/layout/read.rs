//! From fields as text to a value, with errors that name the path.
//!
//! Owns a `serde` deserializer in which the type that is read says what a text means: `64` is a
//! number where a number is due, and a string where a string is.

use std::collections::BTreeMap;
use std::fmt;

use jitsu_store::{Path, TreeError};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess,
    VariantAccess, Visitor,
};

use super::{Node, below};
use crate::check;

/// Why a value cannot be read from the tree.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What stands there is wrong.
    #[error("{path}: {wrong}")]
    Wrong {
        /// Where.
        path: String,
        /// What is wrong.
        wrong: Wrong,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] TreeError),
}

/// What is wrong at a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It does not say what its type is written as.
    #[error("{0}")]
    Value(String),
    /// It is a counter, a set, or bytes that are no text.
    #[error("this must be text")]
    NoText,
    /// Paths below it are too long.
    #[error("the path is too long")]
    Deep,
    /// It would be wanted to be something, and is not defined.
    #[error("a domain cannot be wanted without a spec; remove this too, or keep its spec")]
    WithoutSpec,
    /// Each field is right, and together they make no sense.
    #[error(transparent)]
    Spec(#[from] check::SpecError),
}

impl ReadError {
    pub(super) fn wrong(path: &Path, wrong: Wrong) -> ReadError {
        ReadError::Wrong { path: path.to_string(), wrong }
    }
}

/// Reads a `T` from what stands at `path`.
pub(super) fn from_node<T: DeserializeOwned>(node: &Node, path: &Path) -> Result<T, ReadError> {
    T::deserialize(Field { node, path: path.clone() }).map_err(|Message { path: at, text }| {
        let path = at.as_ref().unwrap_or(path);
        ReadError::wrong(path, Wrong::Value(text))
    })
}

/// An error on its way up; the innermost field puts its path in.
#[derive(Debug)]
pub(super) struct Message {
    path: Option<Path>,
    text: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Message {}

impl de::Error for Message {
    fn custom<T: fmt::Display>(text: T) -> Message {
        Message { path: None, text: text.to_string() }
    }
}

struct Field<'a> {
    node: &'a Node,
    path: Path,
}

impl<'a> Field<'a> {
    fn at<T>(&self, result: Result<T, Message>) -> Result<T, Message> {
        result.map_err(|mut error| {
            error.path.get_or_insert_with(|| self.path.clone());
            error
        })
    }

    fn text(&self) -> Result<&'a str, Message> {
        match self.node {
            Node::Text(text) => Ok(text),
            Node::Directory(_) => self.at(Err(de::Error::custom("this must be text"))),
        }
    }

    fn fields(&self) -> Result<&'a BTreeMap<String, Node>, Message> {
        match self.node {
            Node::Directory(fields) => Ok(fields),
            Node::Text(_) => self.at(Err(de::Error::custom("this must be a directory"))),
        }
    }

    fn parse<T: std::str::FromStr>(&self, what: &str) -> Result<T, Message> {
        let text = self.text()?;
        text.parse().map_err(|_| Message {
            path: Some(self.path.clone()),
            text: format!("{text:?} is not {what}"),
        })
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
            let number: $type = self.parse("a number that fits here")?;
            self.at(visitor.$visit(number))
        })*
    };
}

impl<'de> de::Deserializer<'de> for Field<'de> {
    type Error = Message;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        match self.node {
            Node::Text(text) => self.at(visitor.visit_str(text)),
            Node::Directory(_) => self.deserialize_map(visitor),
        }
    }

    numbers! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_f32 visit_f32 f32, deserialize_f64 visit_f64 f64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        let value = self.parse("true or false")?;
        self.at(visitor.visit_bool(value))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        let text = self.text()?;
        self.at(visitor.visit_str(text))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Message> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        let text = self.text()?;
        let mut json = serde_json::Deserializer::from_str(text);
        let list = de::Deserializer::deserialize_seq(&mut json, visitor);
        let list = list.and_then(|list| json.end().map(|()| list));
        self.at(list.map_err(|error| {
            de::Error::custom(format_args!("this must be a list, as JSON: {error}"))
        }))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Message> {
        let fields = self.fields()?;
        let fields = Fields { fields: fields.iter(), value: None, path: self.path.clone() };
        self.at(visitor.visit_map(fields))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Message> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Message> {
        let variant = match self.node {
            Node::Text(word) => Variant { word, inside: None },
            Node::Directory(fields) => match fields.iter().next() {
                Some((word, node)) if fields.len() == 1 => {
                    Variant { word, inside: Some(Field { node, path: below(&self.path, word) }) }
                }
                _ => {
                    let names: Vec<_> = fields.keys().map(String::as_str).collect();
                    let text = format!("one kind is due here, and there are {names:?}");
                    return self.at(Err(de::Error::custom(text)));
                }
            },
        };
        self.at(visitor.visit_enum(variant))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char string bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

struct Fields<'a> {
    fields: std::collections::btree_map::Iter<'a, String, Node>,
    value: Option<(&'a String, &'a Node)>,
    path: Path,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Message;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Message> {
        let Some((key, node)) = self.fields.next() else { return Ok(None) };
        self.value = Some((key, node));
        let key_text: StrDeserializer<'_, Message> = key.as_str().into_deserializer();
        seed.deserialize(key_text).map(Some).map_err(|mut error| {
            error.path.get_or_insert_with(|| below(&self.path, key));
            error
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Message> {
        let (key, node) = self.value.take().expect("BUG: a value was asked for before its key");
        let path = below(&self.path, key);
        seed.deserialize(Field { node, path: path.clone() }).map_err(|mut error| {
            error.path.get_or_insert(path);
            error
        })
    }
}

struct Variant<'a> {
    word: &'a str,
    inside: Option<Field<'a>>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Message;
    type Variant = Inside<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Inside<'de>), Message> {
        let word: StrDeserializer<'_, Message> = self.word.into_deserializer();
        Ok((seed.deserialize(word)?, Inside(self.inside)))
    }
}

struct Inside<'a>(Option<Field<'a>>);

impl Inside<'_> {
    fn refused<T>() -> Result<T, Message> {
        Err(de::Error::custom("this kind has fields of its own: write it as a directory"))
    }
}

impl<'de> VariantAccess<'de> for Inside<'de> {
    type Error = Message;

    fn unit_variant(self) -> Result<(), Message> {
        match self.0 {
            None => Ok(()),
            Some(field) => field.at(Err(de::Error::custom("this kind has no fields"))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Message> {
        match self.0 {
            Some(field) => seed.deserialize(field),
            None => Inside::refused(),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Message> {
        match self.0 {
            Some(field) => de::Deserializer::deserialize_seq(field, visitor),
            None => Inside::refused(),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Message> {
        match self.0 {
            Some(field) => de::Deserializer::deserialize_map(field, visitor),
            None => Inside::refused(),
        }
    }
}
