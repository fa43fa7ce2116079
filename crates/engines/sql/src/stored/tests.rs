use super::*;
use crate::model::{KeyMatch, MissingFields};

#[test]
fn options_are_pairs_of_words() {
    let options =
        parse_options("missing_fields=null, key_match=collation,mirror_text=true").expect("they are right");
    assert_eq!((options.missing_fields, options.key_match), (MissingFields::Null, KeyMatch::Collation));
    assert!(options.mirror_text);
    assert_eq!(parse_options(""), Ok(ContainerOptions::default()));
    for (odd, word) in
        [("missing_fields", "missing_fields"), ("colour=red", "colour"), ("key_match=soft", "soft")]
    {
        let refusal = parse_options(odd).expect_err(odd);
        assert!(refusal.contains(word), "{refusal}");
    }
}
