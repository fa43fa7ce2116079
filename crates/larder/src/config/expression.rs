//! The grammar of stack expressions, without knowing any engine.
//!
//! ```text
//! stack    = engine { ">" engine }
//! engine   = word [ "(" [ argument { "," argument } ] ")" ]
//! argument = [ word "=" ] value            value = word | "'" text "'" | '"' text '"'
//! ```
//!
//! A word is anything without spaces and without `> ( ) , = ' "`; what it means (a size, a duration, a path)
//! is decided by the argument it stands for. Quoted text has no escapes.

use std::ops::Range;

use super::report::{Objection, objection};
use super::units::is_unit;

/// A piece of text and the bytes of the expression it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned {
    /// The text, without quotes.
    pub text: String,
    /// Where it stands, quotes included.
    pub span: Range<usize>,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// One engine as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineNode {
    /// Its name.
    pub name: Spanned,
    /// Its arguments, in the order written.
    pub arguments: Vec<ArgumentNode>,
    /// The name with its arguments.
    pub span: Range<usize>,
}

/// What could be read of an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The engines, uppermost first; an argument with a mistake is left out of its engine.
    pub engines: Vec<EngineNode>,
    /// What could not be read. If empty, the engines are all there is.
    pub errors: Vec<SyntaxError>,
}

/// One argument as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgumentNode {
    /// The word before `=`.
    pub name: Option<Spanned>,
    /// The value.
    pub value: Spanned,
}

/// A mistake of grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The bytes of the expression where it shows.
    pub span: Range<usize>,
    /// What is wrong.
    pub objection: Objection,
}

/// Whether text can stand in an expression without quotes.
pub fn is_plain_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

fn is_word_char(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '>' | '(' | ')' | ',' | '=' | '\'' | '"')
}

/// The engines of an expression and its mistakes. A mistake inside an argument does not hide those of the next.
pub fn parse(text: &str) -> Parsed {
    let (tokens, unclosed) = lex(text);
    let mut parser = Parser { tokens, next: 0, end: text.len(), errors: Vec::new() };
    let engines = parser.stack();
    // What is missing behind an unclosed quote may stand in it.
    let errors = unclosed.map_or(parser.errors, |unclosed| vec![unclosed]);
    Parsed { engines, errors }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(Spanned),
    /// One of `> ( ) , =` and where it stands.
    Mark(char, usize),
}

impl Token {
    fn span(&self) -> Range<usize> {
        match self {
            Token::Word(word) => word.span.clone(),
            Token::Mark(_, at) => *at..at + 1,
        }
    }

    fn is(&self, mark: char) -> bool {
        matches!(self, Token::Mark(found, _) if *found == mark)
    }
}

/// The tokens, up to a quote that is not closed.
fn lex(text: &str) -> (Vec<Token>, Option<SyntaxError>) {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == '\'' || c == '"' {
            let inside = &text[at + 1..];
            let Some(len) = inside.find(c) else {
                let problem = format!("the quote {c} is not closed");
                let objection = objection(problem, format!("write another {c} where the text ends"));
                return (tokens, Some(SyntaxError { span: at..text.len(), objection }));
            };
            let span = at..at + len + 2;
            at = span.end;
            tokens.push(Token::Word(Spanned { text: inside[..len].to_owned(), span, quoted: true }));
        } else if is_word_char(c) {
            let rest = &text[at..];
            let len = rest.find(|c| !is_word_char(c)).unwrap_or(rest.len());
            let span = at..at + len;
            at = span.end;
            tokens.push(Token::Word(Spanned { text: rest[..len].to_owned(), span, quoted: false }));
        } else {
            tokens.push(Token::Mark(c, at));
            at += 1;
        }
    }
    (tokens, None)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    end: usize,
    errors: Vec<SyntaxError>,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn peek_is(&self, mark: char) -> bool {
        self.peek().is_some_and(|token| token.is(mark))
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.peek_is(mark);
        self.next += usize::from(found);
        found
    }

    fn eat_word(&mut self) -> Option<Spanned> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        let word = word.clone();
        self.next += 1;
        Some(word)
    }

    /// Where the next token stands; at the end of the text, the last token.
    fn here(&self) -> Range<usize> {
        match (self.peek(), self.tokens.last()) {
            (Some(token), _) => token.span(),
            (None, Some(last)) => last.span(),
            (None, None) => 0..self.end,
        }
    }

    fn error(&mut self, span: Range<usize>, problem: impl Into<String>, instead: impl Into<String>) {
        self.errors.push(SyntaxError { span, objection: objection(problem, instead) });
    }

    fn stack(&mut self) -> Vec<EngineNode> {
        let mut engines = Vec::new();
        if self.tokens.is_empty() {
            self.error(0..self.end, "the stack is empty", "write an engine, as in `ram > sqlite`");
            return engines;
        }
        loop {
            let Some((engine, is_closed)) = self.engine() else { return engines };
            engines.push(engine);
            if !is_closed {
                return engines;
            }
            if self.eat('>') {
                continue;
            }
            match self.peek() {
                None => return engines,
                Some(token) => {
                    let problem = match token {
                        Token::Word(word) => format!("`{}` follows an engine without `>`", word.text),
                        Token::Mark(mark, _) => format!("`{mark}` stands outside an engine's brackets"),
                    };
                    self.error(self.here(), problem, "write `>` between engines, as in `ram > sqlite`");
                    return engines;
                }
            }
        }
    }

    /// An engine, and whether its bracket is closed, if it has one.
    fn engine(&mut self) -> Option<(EngineNode, bool)> {
        let Some(name) = self.eat_word() else {
            let side = if self.next == 0 { "above" } else { "below" };
            let problem = match self.peek() {
                Some(Token::Mark('>', _)) | None => format!("there is no engine {side} `>`"),
                Some(token) => format!("`{}` stands where an engine's name should", mark_of(token)),
            };
            self.error(self.here(), problem, "write an engine on each side of `>`, as in `ram > sqlite`");
            return None;
        };
        let mut span = name.span.clone();
        let (mut arguments, mut is_closed) = (Vec::new(), true);
        if self.eat('(') {
            let open = self.next - 1;
            (arguments, is_closed) = self.arguments(open);
            span.end = self.tokens[self.next - 1].span().end;
        }
        Some((EngineNode { name, arguments, span }, is_closed))
    }

    /// The arguments up to and including `)`, and whether there was one to go on from.
    fn arguments(&mut self, open: usize) -> (Vec<ArgumentNode>, bool) {
        let mut arguments = Vec::new();
        if self.eat(')') {
            return (arguments, true);
        }
        loop {
            match self.argument() {
                Some(argument) => arguments.push(argument),
                None => self.skip_argument(),
            }
            if self.eat(')') {
                return (arguments, true);
            }
            if !self.eat(',') {
                let open = self.tokens[open].span();
                self.error(open, "the bracket is not closed", "write `)` after the last argument");
                return (arguments, false);
            }
        }
    }

    fn argument(&mut self) -> Option<ArgumentNode> {
        let first = self.value("a value")?;
        let argument = if self.eat('=') {
            let value = self.value(&format!("the value of `{}`", first.text))?;
            ArgumentNode { name: Some(first), value }
        } else {
            ArgumentNode { name: None, value: first }
        };
        match self.peek() {
            None | Some(Token::Mark(',' | ')' | '>', _)) => Some(argument),
            Some(Token::Word(word)) => {
                let (value, word) = (&argument.value.text, word.clone());
                let instead = if is_unit(&word.text) {
                    format!("write `{value}{}`", word.text)
                } else if argument.name.is_none() {
                    format!("write `{value}={}` or `{value}, {}`, whichever is meant", word.text, word.text)
                } else {
                    "write a comma between arguments, or quotes around a text with spaces".to_owned()
                };
                let problem = format!("`{}` follows `{value}` without a comma", word.text);
                self.error(word.span, problem, instead);
                None
            }
            Some(Token::Mark(mark, _)) => {
                let problem = format!("`{mark}` cannot follow `{}`", argument.value.text);
                self.error(
                    self.here(),
                    problem,
                    "write `name=value`, or quotes around a text with such signs",
                );
                None
            }
        }
    }

    fn value(&mut self, what: &str) -> Option<Spanned> {
        let word = self.eat_word();
        if word.is_none() {
            self.error(self.here(), format!("{what} is missing"), "write it, or remove what announces it");
        }
        word
    }

    /// Goes to the end of a broken argument.
    fn skip_argument(&mut self) {
        while self.peek().is_some_and(|token| !token.is(',') && !token.is(')') && !token.is('>')) {
            self.next += 1;
        }
    }
}

fn mark_of(token: &Token) -> String {
    match token {
        Token::Word(word) => word.text.clone(),
        Token::Mark(mark, _) => mark.to_string(),
    }
}
