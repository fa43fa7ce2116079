//! The licences of everything that is built, from what each package says in SPDX terms.

use super::Finding;
use serde_json::Value;

/// Licences that ask for no more than keeping the notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    // Of data: the certificates of webpki-roots, which come with the driver of MySQL and MariaDB.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    packages.iter().filter_map(check_package).collect()
}

fn check_package(package: &Value) -> Option<Finding> {
    let name =
        format!("{} {}", package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
    let problem = match package["license"].as_str() {
        None => format!("{name} names no licence: read its licence file, then replace the dependency"),
        Some(licence) => match is_allowed(licence) {
            Ok(true) => return None,
            Ok(false) => format!(
                "{name} is under `{licence}`, which is not on the list in xtask/src/tidy/licences.rs: \
                 replace the dependency (`cargo tree --invert {}` shows who needs it)",
                package["name"].as_str().unwrap_or("?")
            ),
            Err(reason) => format!("{name} names its licence as `{licence}`, which cannot be read: {reason}"),
        },
    };
    Some(Finding::error("Cargo.lock", 0, problem))
}

/// Whether an SPDX expression can be satisfied with allowed licences alone.
pub(super) fn is_allowed(expression: &str) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut parser = Parser { words: spaced.split_whitespace().collect(), next: 0 };
    let allowed = parser.alternatives()?;
    match parser.peek() {
        None => Ok(allowed),
        Some(word) => Err(format!("`{word}` is not expected there")),
    }
}

/// `alternatives = all (OR all)*`, `all = single (AND single)*`,
/// `single = ( alternatives ) | licence [WITH exception]`. The old notation `/` means OR.
struct Parser<'a> {
    words: Vec<&'a str>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.next += usize::from(found);
        found
    }

    fn alternatives(&mut self) -> Result<bool, String> {
        let mut allowed = self.all()?;
        while self.take("OR") {
            allowed |= self.all()?;
        }
        Ok(allowed)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut allowed = self.single()?;
        while self.take("AND") {
            allowed &= self.single()?;
        }
        Ok(allowed)
    }

    fn single(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let allowed = self.alternatives()?;
            return if self.take(")") { Ok(allowed) } else { Err("a `)` is missing".into()) };
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Ok(ALLOWED.contains(&format!("{licence} WITH {exception}").as_str()));
        }
        Ok(ALLOWED.contains(&licence))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        match self.peek() {
            None => Err("a licence is missing at the end".into()),
            Some(word @ ("AND" | "OR" | "WITH" | "(" | ")")) => {
                Err(format!("a licence is missing before `{word}`"))
            }
            Some(word) => {
                self.next += 1;
                Ok(word)
            }
        }
    }
}
