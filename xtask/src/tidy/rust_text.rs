//! Enough of Rust's lexing to tell code from comments and strings.

/// The text with every character of a comment or inside a string or character literal replaced by a
/// blank. Lines keep their numbers and columns; quotation marks stay.
pub(super) fn blank_comments_and_strings(text: &str) -> String {
    let mut lexer = Lexer { characters: text.chars().collect(), next: 0, blanked: String::new() };
    while lexer.next < lexer.characters.len() {
        lexer.step();
    }
    lexer.blanked
}

struct Lexer {
    characters: Vec<char>,
    next: usize,
    blanked: String,
}

impl Lexer {
    fn step(&mut self) {
        match (self.at(0), self.at(1)) {
            ('/', '/') => self.line_comment(),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('r', '"' | '#') if !self.follows_name() => self.raw_string(),
            // In `b'x'` and `br"x"` the prefix is code, and what follows it starts a literal.
            ('b' | 'c', 'r') if !self.follows_name() && matches!(self.at(2), '"' | '#') => {
                self.keep();
                self.raw_string();
            }
            ('\'', _) => self.character_or_lifetime(),
            _ => self.keep(),
        }
    }

    /// The character so many ahead; NUL past the end.
    fn at(&self, ahead: usize) -> char {
        self.characters.get(self.next + ahead).copied().unwrap_or('\0')
    }

    fn follows_name(&self) -> bool {
        let before = self.next.checked_sub(1).map(|index| self.characters[index]);
        before.is_some_and(|before| before.is_alphanumeric() || before == '_')
    }

    fn keep(&mut self) {
        if self.next < self.characters.len() {
            self.blanked.push(self.characters[self.next]);
            self.next += 1;
        }
    }

    fn blank(&mut self) {
        if self.next < self.characters.len() {
            self.blanked.push(if self.at(0) == '\n' { '\n' } else { ' ' });
            self.next += 1;
        }
    }

    fn is_done(&self) -> bool {
        self.next >= self.characters.len()
    }

    fn line_comment(&mut self) {
        while !self.is_done() && self.at(0) != '\n' {
            self.blank();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while !self.is_done() {
            let mark = (self.at(0), self.at(1));
            match mark {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {}
            }
            if matches!(mark, ('/', '*') | ('*', '/')) {
                self.blank();
            }
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while !self.is_done() && self.at(0) != '"' {
            if self.at(0) == '\\' {
                self.blank();
            }
            self.blank();
        }
        self.keep();
    }

    fn raw_string(&mut self) {
        let hashes = (1..).take_while(|&ahead| self.at(ahead) == '#').count();
        if self.at(1 + hashes) != '"' {
            // A raw identifier, as in `r#type`.
            return self.keep();
        }
        for _ in 0..hashes + 2 {
            self.keep();
        }
        let ends = |lexer: &Self| lexer.at(0) == '"' && (1..=hashes).all(|ahead| lexer.at(ahead) == '#');
        while !self.is_done() && !ends(self) {
            self.blank();
        }
        for _ in 0..=hashes {
            self.keep();
        }
    }

    fn character_or_lifetime(&mut self) {
        let is_character = self.at(1) == '\\' || self.at(2) == '\'';
        self.keep();
        if !is_character {
            return;
        }
        while !self.is_done() && self.at(0) != '\'' {
            if self.at(0) == '\\' {
                self.blank();
            }
            self.blank();
        }
        self.keep();
    }
}
