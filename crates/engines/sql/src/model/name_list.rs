//! Lists of column names, and flags that are a number or a column.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names of columns, written as a list or as one text with commas or blanks between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct NameList(pub Vec<String>);

impl NameList {
    /// From one text; besides commas and blanks the marks of `more` separate names.
    pub fn split(text: &str, more: &[char]) -> Self {
        let is_separator = |c: char| c == ',' || c.is_whitespace() || more.contains(&c);
        NameList(text.split(is_separator).filter(|name| !name.is_empty()).map(String::from).collect())
    }
}

impl From<&str> for NameList {
    fn from(text: &str) -> Self {
        NameList::split(text, &[])
    }
}

impl std::ops::Deref for NameList {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for NameList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(String),
            List(Vec<String>),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::One(text) => NameList::from(text.as_str()),
            Written::List(names) => NameList(names),
        })
    }
}

/// The flags of a container: one number for every item, or a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Flags {
    /// Every reply carries this number.
    Constant(u32),
    /// The column that keeps them.
    Column(String),
}

impl Default for Flags {
    fn default() -> Self {
        Flags::Constant(0)
    }
}

impl From<&str> for Flags {
    /// A number is a constant, nothing is 0, all else names a column.
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(number) => Flags::Constant(number),
            Err(_) if text.is_empty() => Flags::default(),
            Err(_) => Flags::Column(text.into()),
        }
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Text(String),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Number(number) => Flags::Constant(number),
            Written::Text(text) => Flags::from(text.as_str()),
        })
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Flags::Constant(number) => serializer.serialize_u32(*number),
            Flags::Column(name) => serializer.serialize_str(name),
        }
    }
}
