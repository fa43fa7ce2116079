use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn place(number: u32) -> Place {
    Place { segment: 1 + number / 0xffff, offset: number % 0xffff }
}

fn spread(number: u32) -> ShortHash {
    ShortHash::of(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)
}

fn insert(index: &mut Index, arena: &Arc<Arena>, hash: ShortHash, place: Place) {
    if let Some(growth) = index.growth(hash).unwrap() {
        assert!(arena.budget.reserve(growth.bytes) && index.grow(&growth, arena));
        assert!(index.growth(hash).unwrap().is_none(), "it grows once for an entry");
    }
    index.insert(hash, place);
    assert_eq!(index.bytes(), arena.budget.used(), "what is charged is what is held");
}

#[test]
fn it_grows_with_its_entries_and_goes_with_them() {
    let arena = Arena::new(1 << 30);
    let mut index = Index::new();
    let count = 100_000;
    for number in 0..count {
        insert(&mut index, &arena, spread(number), place(number));
        if number > 10_000 && number % 1000 == 0 {
            let each = index.bytes() as f64 / f64::from(number);
            assert!(each < 12.5, "{each} bytes an entry at {number}");
        }
    }
    for number in 0..count {
        assert_eq!(index.find(spread(number), |found| found == place(number)), Some(place(number)));
    }
    let order: Vec<ShortHash> = index.from(ShortHash(0)).map(|(hash, _)| hash).collect();
    assert!(order.is_sorted() && order.len() == count as usize);
    let full = index.bytes();
    for number in 0..count - 1000 {
        index.remove(spread(number), place(number));
    }
    let mut at = 0;
    for _ in 0..index.tables.len() {
        at = index.shrink_next(at, &arena);
    }
    assert!(index.bytes() < full / 3, "{} of {full} bytes are left", index.bytes());
    for number in count - 1000..count {
        let moved = place(number + 7);
        index.update(spread(number), place(number), moved);
        index.remove(spread(number), moved);
    }
    assert_eq!((index.bytes(), arena.budget.used()), (0, 0));
}

#[test]
fn keys_of_one_hash_stay_apart() {
    let arena = Arena::new(1 << 30);
    let mut index = Index::new();
    let hash = ShortHash((1 << HASH_BITS) - 1);
    for number in 0..20 {
        insert(&mut index, &arena, hash, place(number));
    }
    for number in 0..20 {
        assert_eq!(index.find(hash, |found| found == place(number)), Some(place(number)));
    }
    for number in (0..20).rev() {
        index.remove(hash, place(number));
        assert_eq!(index.find(hash, |found| found == place(number)), None);
    }
}

#[test]
fn more_keys_of_one_hash_than_a_table_holds_are_refused() {
    let arena = Arena::new(1 << 30);
    let mut index = Index::new();
    let hash = ShortHash((1 << HASH_BITS) - 1);
    let mut number = 0;
    while let Ok(growth) = index.growth(hash) {
        if let Some(growth) = growth {
            assert!(arena.budget.reserve(growth.bytes) && index.grow(&growth, &arena));
        }
        index.insert(hash, place(number));
        number += 1;
    }
    assert!(number > 20, "{number} fit");
    let used = arena.budget.used();
    assert!(index.growth(hash).is_err() && arena.budget.used() == used, "asking takes nothing");
    for number in 0..number {
        assert_eq!(index.find(hash, |found| found == place(number)), Some(place(number)));
        index.remove(hash, place(number));
    }
    insert(&mut index, &arena, hash, place(1));
}

proptest! {
    #[test]
    fn does_as_a_map_does(
        steps in prop::collection::vec((0..3u8, 0..400u32, any::<bool>()), 1..2500),
        bits in 8..HASH_BITS,
    ) {
        let arena = Arena::new(1 << 30);
        let mut index = Index::new();
        let mut model: BTreeMap<(u32, u32), Place> = BTreeMap::new();
        for (step, number, crowded) in steps {
            // Some hashes are crowded together.
            let hash = if crowded { ShortHash(number % 50 + (1 << bits)) } else { spread(number) };
            let id = (hash.0, number);
            let held = model.get(&id).copied();
            match (step, held) {
                (0 | 1, None) => {
                    insert(&mut index, &arena, hash, place(number));
                    model.insert(id, place(number));
                }
                (1, Some(from)) => {
                    let to = place(number + 1000);
                    if from != to {
                        index.update(hash, from, to);
                        model.insert(id, to);
                    }
                }
                (2, Some(from)) => {
                    index.remove(hash, from);
                    model.remove(&id);
                }
                _ => {
                    let found = index.find(hash, |place| Some(place) == held);
                    prop_assert_eq!(found, held);
                }
            }
        }
        let mut all: Vec<_> = index.from(ShortHash(0)).map(|(hash, place)| (hash.0, place.offset)).collect();
        let mut expected: Vec<_> = model.iter().map(|((hash, _), place)| (*hash, place.offset)).collect();
        all.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(all, expected);
    }
}
