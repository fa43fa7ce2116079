//! The users of a password file, kept as fingerprints: the passwords themselves are wiped once the file is read.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ring::hmac;
use ring::rand::SystemRandom;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::secret::Secret;

/// A longer password file was named by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How the lines of a password file are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// `user:password`; the password is the rest of the line.
    Text,
    /// The same, or `user:password:…`, whose end does not count.
    Sasl,
}

/// Who may enter, and with which passwords. A user may have several, so that one can be changed without haste.
///
/// A fingerprint is a keyed hash of user and password, with a key that this process drew. All of them are compared,
/// each in constant time, so that the time tells neither how much of a password was right nor whether there is such
/// a user.
pub(crate) struct Users {
    key: hmac::Key,
    entries: Vec<(hmac::Tag, Arc<str>)>,
}

impl Users {
    /// Reads a password file. The error names file and line, and nothing of what stands there.
    pub(crate) fn read(path: &Path, format: Format) -> Result<Users, String> {
        let name = path.display();
        let content = read_secret(path).map_err(|error| {
            format!("{name}: cannot read this password file: {error}; name one that exists and may be read")
        })?;
        Users::parse(content.bytes(), format).map_err(|(line, problem)| format!("{name}:{line}: {problem}"))
    }

    pub(crate) fn parse(content: &[u8], format: Format) -> Result<Users, (usize, &'static str)> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| (0, "the system gives no random numbers"))?;
        let mut users = Users { key, entries: Vec::new() };
        for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                users.add_line(line, format).map_err(|problem| (index + 1, problem))?;
            }
        }
        if users.entries.is_empty() {
            return Err((1, "no user stands in this file, so nobody could enter; write user:password lines"));
        }
        Ok(users)
    }

    fn add_line(&mut self, line: &[u8], format: Format) -> Result<(), &'static str> {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return Err("no colon in this line; write user:password");
        };
        let (user, password) = (&line[..colon], &line[colon + 1..]);
        if user.is_empty() || password.is_empty() {
            return Err("an empty user or password in this line; write user:password");
        }
        if format == Format::Text && user.contains(&b' ') {
            return Err("a space in this user's name, which no client could send; write another name");
        }
        self.add(user, password);
        if format == Format::Sasl
            && let Some(colon) = password.iter().position(|&byte| byte == b':').filter(|&colon| colon > 0)
        {
            self.add(user, &password[..colon]);
        }
        Ok(())
    }

    fn add(&mut self, user: &[u8], password: &[u8]) {
        let tag = self.fingerprint(user, password);
        self.entries.push((tag, String::from_utf8_lossy(user).into()));
    }

    fn fingerprint(&self, user: &[u8], password: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        // With its length in front no end of a user is the beginning of a password.
        context.update(&(user.len() as u64).to_le_bytes());
        context.update(user);
        context.update(password);
        context.sign()
    }

    /// The user, if the password is one of theirs.
    pub(crate) fn enter(&self, user: &[u8], password: &[u8]) -> Option<Arc<str>> {
        let given = self.fingerprint(user, password);
        let mut found = u64::MAX;
        for (index, (tag, _)) in self.entries.iter().enumerate() {
            found.conditional_assign(&(index as u64), tag.as_ref().ct_eq(given.as_ref()));
        }
        self.entries.get(usize::try_from(found).ok()?).map(|(_, user)| user.clone())
    }

    /// Judges SASL PLAIN: `identity NUL user NUL password`. Nobody may act as somebody else.
    pub(crate) fn enter_plain(&self, data: &[u8]) -> Option<Arc<str>> {
        let mut parts = data.splitn(3, |&byte| byte == 0);
        let (identity, user, password) = (parts.next()?, parts.next()?, parts.next()?);
        let entered = self.enter(user, password)?;
        (identity.is_empty() || identity == user).then_some(entered)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Users").field("count", &self.entries.len()).finish_non_exhaustive()
    }
}

/// Reads a file that holds secrets.
pub(crate) fn read_secret(path: &Path) -> std::io::Result<Secret> {
    let mut file = std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1);
    let mut content = Secret::default();
    let mut piece = zeroize::Zeroizing::new([0_u8; 4096]);
    loop {
        match file.read(&mut piece[..])? {
            0 => break,
            count => content.extend(&piece[..count]),
        }
    }
    if content.bytes().len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            format!("longer than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(content: &str, format: Format, user: &str, password: &str) -> Option<String> {
        let users = Users::parse(content.as_bytes(), format).expect("a good file");
        users.enter(user.as_bytes(), password.as_bytes()).map(|user| user.to_string())
    }

    #[test]
    fn only_the_right_password_enters() {
        let file = "ann:one\r\nbob:two:more\n\nann:second\nzoë:pass word";
        for (user, password, expected) in [
            ("ann", "one", true),
            ("ann", "second", true),
            ("ann", "two:more", false),
            ("ann", "on", false),
            ("ann", "one ", false),
            ("ann", "one\r", false),
            ("ann", "", false),
            ("", "", false),
            ("annone", "", false),
            ("an", "none", false),
            ("bob", "two:more", true),
            ("bob", "two", false),
            ("zoë", "pass word", true),
            ("nobody", "one", false),
        ] {
            let found = entered(file, Format::Text, user, password);
            assert_eq!(found.as_deref(), expected.then_some(user), "{user} {password}");
        }
        assert_eq!(entered(file, Format::Sasl, "bob", "two").as_deref(), Some("bob"));
        assert_eq!(entered(file, Format::Sasl, "bob", "two:more").as_deref(), Some("bob"));
        assert_eq!(entered(file, Format::Sasl, "bob", "more"), None);
    }

    #[test]
    fn plain_names_one_user() {
        let users = Users::parse(b"ann:one\nbob:two\n", Format::Sasl).expect("a good file");
        for (data, expected) in [
            (&b"\0ann\0one"[..], Some("ann")),
            (b"ann\0ann\0one", Some("ann")),
            (b"bob\0ann\0one", None),
            (b"\0ann\0two", None),
            (b"\0ann\0one\0", None),
            (b"\0ann", None),
            (b"ann\0one", None),
            (b"", None),
            (b"\0\0", None),
        ] {
            assert_eq!(users.enter_plain(data).as_deref(), expected, "{}", data.escape_ascii());
        }
    }

    #[test]
    fn a_broken_file_is_named_by_its_line_and_not_quoted() {
        for (content, line) in [
            ("", 1),
            ("\n\n", 1),
            ("ann:one\nhunter2\n", 2),
            ("ann:\n", 1),
            (":hunter2\n", 1),
            ("ann smith:hunter2", 1),
        ] {
            let Err((found, problem)) = Users::parse(content.as_bytes(), Format::Text) else {
                panic!("{content:?} is taken")
            };
            assert_eq!(found, line, "{content:?}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_file_is_read_as_it_is_and_hidden() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        let missing = Users::read(&path, Format::Text).expect_err("there is none");
        assert!(missing.contains("users: cannot read"), "{missing}");
        std::fs::write(&path, "ann:hunter2\n").expect("written");
        let users = Users::read(&path, Format::Text).expect("a good file");
        assert_eq!(users.enter(b"ann", b"hunter2").as_deref(), Some("ann"));
        assert_eq!(format!("{users:?}"), "Users { count: 1, .. }");
        std::fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).expect("written");
        let large = Users::read(&path, Format::Text).expect_err("too long");
        assert!(large.contains("longer than"), "{large}");
    }
}
