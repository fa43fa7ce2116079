//! The options of a container. The first of the values of each is the default.

use serde::{Deserialize, Serialize};

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize, Serialize)]
        pub enum $name {
            $($(#[$value_doc])* #[serde(rename = $word)] $value),+
        }
    )+};
}

choices! {
    /// How several value columns make one text.
    ValueFormat {
        /// Fields with a tab between them.
        #[default] Tsv = "tsv",
        /// Fields with [`ContainerOptions::separator`] between them.
        Sep = "sep",
    }
    /// What becomes of columns for which a value brings no field.
    MissingFields {
        /// They stay as they are.
        #[default] Keep = "keep",
        /// They become NULL.
        Null = "null",
    }
    /// What becomes of fields for which there is no column.
    ExtraFields {
        /// The value is refused.
        #[default] Error = "error",
        /// They are dropped.
        Drop = "drop",
    }
    /// What an empty field of several stands for.
    EmptyField {
        /// NULL.
        #[default] Null = "null",
        /// The empty text.
        Empty = "empty",
    }
    /// What a row whose single value column is NULL reads as.
    NullValue {
        /// An empty value.
        #[default] Empty = "empty",
        /// A miss.
        Miss = "miss",
    }
    /// When a row is the row of a key.
    KeyMatch {
        /// When the bytes are the same.
        #[default] Bytes = "bytes",
        /// When the column's collation says so.
        Collation = "collation",
    }
    /// Where the CAS comes from.
    CasMode {
        /// From the CAS column, or from the content where there is none.
        #[default] Column = "column",
        /// From the content.
        Hash = "hash",
        /// There is none.
        None = "none",
    }
    /// What a read does with an expired row.
    ExpireOnRead {
        /// Removes it.
        #[default] Delete = "delete",
        /// Leaves it.
        Hide = "hide",
    }
    /// What becomes of an expiry for which there is no column.
    ExpireWithoutColumn {
        /// It is dropped.
        #[default] Ignore = "ignore",
        /// The command is refused.
        Reject = "reject",
    }
    /// Whether incr and decr work on the digits of a text where there is no increment column.
    TextArithmetic {
        /// They do not.
        #[default] Off = "false",
        /// They do.
        Digits = "true",
        /// They do, and blanks around the digits do not matter, as in memcached.
        Blanks = "blanks",
    }
    /// How a moment is written.
    TimestampFormat {
        /// As seconds of Unix time.
        #[default] Unix = "unix",
        /// As date and time in UTC.
        Iso = "iso",
    }
    /// What a time of two parts means.
    TimeInput {
        /// Hours and minutes.
        #[default] Sql = "sql",
        /// Minutes and seconds.
        Ndb = "ndb",
    }
}

/// The options of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContainerOptions {
    /// See [`ValueFormat`].
    pub value_format: ValueFormat,
    /// Between fields, for [`ValueFormat::Sep`]: 1 to 8 bytes.
    pub separator: String,
    /// See [`MissingFields`].
    pub missing_fields: MissingFields,
    /// See [`ExtraFields`].
    pub extra_fields: ExtraFields,
    /// See [`EmptyField`].
    pub empty_field: EmptyField,
    /// See [`NullValue`].
    pub null_value: NullValue,
    /// Between the parts of a key: 1 to 8 bytes.
    pub key_separator: String,
    /// See [`KeyMatch`].
    pub key_match: KeyMatch,
    /// See [`CasMode`].
    pub cas_mode: CasMode,
    /// See [`ExpireOnRead`].
    pub expire_on_read: ExpireOnRead,
    /// See [`ExpireWithoutColumn`].
    pub expire_without_column: ExpireWithoutColumn,
    /// See [`TextArithmetic`].
    #[serde(deserialize_with = "bool_or_word")]
    pub text_arithmetic: TextArithmetic,
    /// Whether incr writes the digits into the text column too.
    pub mirror_text: bool,
    /// See [`TimestampFormat`].
    pub timestamp_format: TimestampFormat,
    /// See [`TimeInput`].
    pub time_input: TimeInput,
    /// Whether a fixed-length text comes back with its blanks.
    pub pad_char: bool,
    /// Whether digits beyond a decimal's scale are rounded.
    pub decimal_round: bool,
}

impl Default for ContainerOptions {
    fn default() -> Self {
        ContainerOptions {
            value_format: ValueFormat::default(),
            separator: "\t".into(),
            missing_fields: MissingFields::default(),
            extra_fields: ExtraFields::default(),
            empty_field: EmptyField::default(),
            null_value: NullValue::default(),
            key_separator: "\t".into(),
            key_match: KeyMatch::default(),
            cas_mode: CasMode::default(),
            expire_on_read: ExpireOnRead::default(),
            expire_without_column: ExpireWithoutColumn::default(),
            text_arithmetic: TextArithmetic::default(),
            mirror_text: false,
            timestamp_format: TimestampFormat::default(),
            time_input: TimeInput::default(),
            pad_char: false,
            decimal_round: false,
        }
    }
}

impl ContainerOptions {
    /// What stands between the fields of a value.
    pub fn field_separator(&self) -> &[u8] {
        match self.value_format {
            ValueFormat::Tsv => b"\t",
            ValueFormat::Sep => self.separator.as_bytes(),
        }
    }
}

/// `true` and `false` may be written with and without quotes.
fn bool_or_word<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<TextArithmetic, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bool(bool),
        Word(TextArithmetic),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Bool(true) => TextArithmetic::Digits,
        Written::Bool(false) => TextArithmetic::Off,
        Written::Word(word) => word,
    })
}
