use super::*;

fn gone(version: u64) -> Publish {
    Publish::Latest(Latest::Gone(version))
}

fn key(text: &str) -> KeyBytes {
    text.as_bytes().into()
}

fn version_of(overlay: &Overlay, text: &str) -> Option<u64> {
    overlay.look(text.as_bytes(), |latest| latest.map(Latest::version))
}

#[test]
fn shows_the_newest_and_forgets_only_what_did_not_change() {
    let overlay = Overlay::default();
    overlay.publish(1, [(key("a"), gone(1)), (key("b"), gone(2))].into_iter());
    overlay.publish(2, [(key("a"), gone(3))].into_iter());
    overlay.forget(&[(key("a"), 1), (key("b"), 1), (key("never"), 1)]);
    assert_eq!(version_of(&overlay, "a"), Some(3));
    assert_eq!(version_of(&overlay, "b"), None);
    assert_eq!(overlay.entries(), 1);
    overlay.publish(3, [(key("a"), Publish::InTable)].into_iter());
    assert_eq!((overlay.entries(), overlay.bytes(), overlay.items()), (0, 0, 0));
}

#[test]
fn gives_ranges_in_key_order() {
    let overlay = Overlay::default();
    let keys = ["m", "a", "z", "aa", "b"];
    overlay.publish(1, keys.iter().map(|text| (key(text), gone(1))));
    let names = |start: Bound<&[u8]>, count| -> Vec<String> {
        let range = overlay.range(start, count);
        range.iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
    };
    assert_eq!(names(Bound::Unbounded, 10), ["a", "aa", "b", "m", "z"]);
    assert_eq!(names(Bound::Excluded(b"aa"), 2), ["b", "m"]);
    assert_eq!(names(Bound::Included(b"m"), 2), ["m", "z"]);
}

#[test]
fn a_sweep_gets_what_came_and_what_changed_behind_it() {
    let overlay = Overlay::default();
    let names = || {
        let mut keys = overlay.take_unswept();
        keys.sort();
        keys.iter().map(|key| String::from_utf8(key.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    overlay.publish(1, ["a", "b", "c"].iter().map(|text| (key(text), gone(1))));
    assert_eq!(names(), ["a", "b", "c"]);
    overlay.publish(2, ["b", "d"].iter().map(|text| (key(text), gone(2))));
    overlay.forget(&[(key("a"), 1), (key("b"), 1)]);
    assert_eq!(names(), ["b", "d"]);
    assert_eq!(overlay.entries(), 3);
}
