//! The keys that say who may enter.

use super::super::guard::{self, GuardDraft};
use super::{KEYS as ALL_KEYS, Placed, Reader, Value};

/// Their names.
pub(super) const KEYS: &[&str] = &[
    "passwords",
    "sasl_passwords",
    "tls",
    "tls_certificate",
    "tls_key",
    "tls_clients",
    "tls_client_ca",
    "tls_version_min",
];

impl Reader<'_> {
    pub(super) fn guard(&mut self, name: &str, value: &Value<'_>, draft: &mut GuardDraft) {
        match name {
            "passwords" => draft.text = self.text_of(ALL_KEYS, name, value, guard::parse_path),
            "sasl_passwords" => {
                draft.sasl_passwords = self.text_of(ALL_KEYS, name, value, guard::parse_path);
                draft.sasl = draft.sasl_passwords.as_ref().map(|file| file.place);
            }
            "tls" => {
                let place = self.place(value.span());
                draft.tls = self.boolean(name, value).map(|value| Placed { value, place });
            }
            "tls_certificate" => {
                draft.certificate_chain = self.text_of(ALL_KEYS, name, value, guard::parse_path);
            }
            "tls_key" => draft.key = self.text_of(ALL_KEYS, name, value, guard::parse_path),
            "tls_clients" => draft.clients = self.text_of(ALL_KEYS, name, value, guard::parse_clients),
            "tls_client_ca" => {
                draft.client_authorities = self.text_of(ALL_KEYS, name, value, guard::parse_path);
            }
            "tls_version_min" => {
                let version = self.text_of(ALL_KEYS, name, value, guard::parse_version);
                draft.version_min = version.map(|version| version.value);
            }
            other => unreachable!("{other} is none of these keys"),
        }
    }
}
