//! Look-ups of several keys.

use larder_engine::{GetReply, ManySink, Sink};

use super::*;

/// Collects the values of a multi-get.
#[derive(Default)]
struct Values {
    kept: KeepItem,
    values: Vec<Option<Vec<u8>>>,
}

impl ManySink for Values {
    fn sink(&mut self, _index: usize) -> &mut dyn Sink {
        self.kept = KeepItem::default();
        &mut self.kept
    }

    fn answer(&mut self, index: usize, reply: GetReply) {
        assert_eq!(index, self.values.len(), "answers come in order");
        let found = now(reply).unwrap();
        assert_eq!(found, self.kept.0.as_ref().map(|item| item.found));
        self.values.push(self.kept.0.take().map(|item| item.value.whole().to_vec()));
    }
}

#[test]
fn a_group_is_answered_key_by_key() {
    // So many that memory is fetched ahead.
    let bench = Bench::of(32 * MIB);
    for n in 0..100_000u32 {
        bench.set(&n.to_be_bytes(), &vec![n as u8; n as usize % 150]).unwrap();
    }
    bench.fill(b"absent", absent(bench.in_seconds(10)), || ());
    for count in [1, 2, 15, 16, 17, 100] {
        let numbers: Vec<u32> = (0..count).map(|n| n * 7919 % 120_000).collect();
        let names: Vec<[u8; 4]> = numbers.iter().map(|n| n.to_be_bytes()).collect();
        let mut keys: Vec<Key<'_>> = names.iter().map(|name| Key::new(name)).collect();
        keys.push(Key::new(b"absent"));
        let mut sink = Values::default();
        bench.engine.get_many(&bench.context(), &keys, &Get::plain(), &mut sink);
        let expected = numbers.iter().map(|n| (*n < 100_000).then(|| vec![*n as u8; *n as usize % 150]));
        assert_eq!(sink.values, expected.chain([None]).collect::<Vec<_>>());
        let touch = Get { touch: Some(Expiry::at(9000)), ..Get::plain() };
        let mut sink = Values::default();
        bench.engine.get_many(&bench.context(), &keys, &touch, &mut sink);
        assert_eq!(sink.values.iter().flatten().count(), numbers.iter().filter(|n| **n < 100_000).count());
    }
}

/// What one look-up of a key as a cache came to: the value that was shown, or what was asked otherwise.
type Heard = (Option<Vec<u8>>, Option<String>);

/// Answers a key that is not fresh with what `otherwise` says, which shows nothing.
#[derive(Default)]
struct Told {
    kept: KeepItem,
    heard: Vec<Heard>,
}

impl ManySink for Told {
    fn sink(&mut self, _index: usize) -> &mut dyn Sink {
        self.kept = KeepItem::default();
        &mut self.kept
    }

    fn answer(&mut self, index: usize, reply: GetReply) {
        assert_eq!(index, self.heard.len(), "answers come in order");
        let shown = self.kept.0.take().map(|item| item.value.whole().to_vec());
        let otherwise = match now(reply) {
            Ok(Some(_)) => None,
            other => Some(format!("{other:?}")),
        };
        self.heard.push((shown, otherwise));
    }
}

#[test]
fn a_group_is_looked_up_as_each_of_its_keys_is() {
    for memory_bytes in [MIB, 32 * MIB] {
        let bench = Bench::of(memory_bytes);
        // With the larger one so much is used that memory is fetched ahead.
        for n in 0..memory_bytes as u32 / 200 {
            bench.set(&n.to_be_bytes(), &[n as u8; 100]).unwrap();
        }
        let overdue = Fill { fresh_until: Some(bench.in_seconds(5)), ..item(b"overdue", 1) };
        bench.fill(b"overdue", overdue, || ());
        bench.set_until(b"over", b"v", Expiry::at(bench.in_seconds(5).0)).unwrap();
        bench.pass(5);
        bench.fill(b"absent", absent(bench.in_seconds(10)), || ());
        bench.fill(b"fresh", item(b"fresh", 1), || ());
        let stale = Item { found: Found { stale: true, ..Found::default() }, value: Value::default() };
        let stale = Fill { content: FillContent::Item(stale), version: 0, fresh_until: None };
        bench.fill(b"stale", stale, || ());
        let mut names: Vec<Vec<u8>> = [&b"overdue"[..], b"over", b"absent", b"fresh", b"stale", b"nothing"]
            .iter()
            .map(|name| name.to_vec())
            .collect();
        names.extend((0..40u32).map(|n| (n * 97 % 3000).to_be_bytes().to_vec()));
        let keys: Vec<Key<'_>> = names.iter().map(|name| Key::new(name)).collect();
        let get = Get { tokens: true, ..Get::plain() };
        let mut asked = Vec::new();
        let mut sink = Told::default();
        let fresh =
            bench.engine.lookup_many(&bench.context(), &keys, &get, &mut sink, &mut |index, looked_up| {
                asked.push((index, now(looked_up).unwrap()));
                Reply::failed(ErrorKind::TryAgain)
            });
        let mut expected_asked = Vec::new();
        let mut expected_fresh = 0;
        for (index, key) in keys.iter().enumerate() {
            let mut keep = KeepItem::default();
            let looked_up = now(bench.engine.lookup(&bench.context(), *key, &get, &mut keep)).unwrap();
            let value = keep.0.map(|item| item.value.whole().to_vec());
            let (shown, otherwise) = &sink.heard[index];
            assert_eq!(*shown, value, "{:?}", key.bytes());
            match looked_up {
                Lookup::Fresh(_) => {
                    expected_fresh += 1;
                    assert_eq!(*otherwise, None);
                }
                other => {
                    assert_eq!(otherwise.as_deref(), Some("Err(TryAgain)"));
                    expected_asked.push((index, other));
                }
            }
        }
        assert_eq!((asked, fresh), (expected_asked, expected_fresh));
    }
}
