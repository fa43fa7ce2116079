use std::collections::HashSet;

use super::*;

#[test]
fn ids_grow_also_when_the_clock_does_not() {
    let ids = Ids::new(1023);
    let now = Duration::from_secs(1_900_000_000);
    let given: Vec<u64> = (0..10_000).map(|_| ids.next(now)).collect();
    assert!(given.is_sorted_by(|one, other| one < other));
    assert!(given.iter().all(|id| *id < 1 << 63 && (id >> COUNT_BITS) & 1023 == 1023));
    assert!(ids.next(Duration::ZERO) > given[9_999], "a clock set back changes nothing");
}

#[test]
fn ids_of_several_threads_differ() {
    let ids = Ids::new(1);
    let all: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let work = || (0..1000).map(|_| ids.next(Duration::from_secs(1_900_000_000))).collect();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    let distinct: HashSet<u64> = all.iter().flatten().copied().collect();
    assert_eq!(distinct.len(), 4000);
}
