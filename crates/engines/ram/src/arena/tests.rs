use super::*;

const PAGE: u64 = PAGE_BYTES as u64;

#[test]
fn runs_are_charged_and_give_themselves_back() {
    let arena = Arena::new(10 * PAGE);
    let mut first = arena.try_take(4, 0).unwrap();
    first.bytes_mut().fill(1);
    let mut second = arena.try_take(6, 0).unwrap();
    second.bytes_mut().fill(2);
    assert_eq!(arena.budget.used(), 10 * PAGE);
    assert!(arena.try_take(1, 0).is_none(), "the budget is spent");
    assert!(first.bytes().iter().all(|byte| *byte == 1), "runs are apart");
    drop(first);
    assert_eq!((arena.budget.used(), arena.warm_bytes()), (6 * PAGE, 4 * PAGE));
    assert!(arena.contains(second.bytes()) && !arena.contains(&[0]));
    drop(second);
    assert_eq!((arena.budget.used(), arena.warm_bytes()), (0, 10 * PAGE));
}

#[test]
fn warm_pages_and_pages_in_use_together_keep_the_limit() {
    let arena = Arena::new(16 * PAGE);
    let mut runs: Vec<Run> = (0..8).map(|_| arena.try_take(2, 0).unwrap()).collect();
    // Every second one goes: eight warm pages, no four of which are neighbours.
    let mut at = 0;
    runs.retain(|_| {
        at += 1;
        at % 2 == 0
    });
    assert_eq!(arena.warm_bytes(), 8 * PAGE);
    let _four = arena.try_take(4, 0).unwrap();
    assert!(arena.warm_bytes() + arena.budget.used() <= 16 * PAGE, "{} are warm", arena.warm_bytes());
    arena.budget.set_limit(12 * PAGE);
    arena.trim();
    assert_eq!(arena.warm_bytes(), 0);
    arena.budget.set_limit(4 * PAGE);
    runs.clear();
    assert_eq!(arena.warm_bytes(), 0, "pages over the limit are given back at once");
}

#[test]
fn address_space_is_used_again() {
    let arena = Arena::new(64 * PAGE);
    for round in 0..200 {
        let pages = 1 + round * 7 % 60;
        let mut run = arena.try_take(pages, 0).unwrap();
        run.words_mut().fill(u64::MAX);
        assert_eq!(run.words().len() * 8, run.len());
    }
    assert!(arena.mapped_bytes() <= 2 * REGION_BYTES_MIN as u64, "{} are mapped", arena.mapped_bytes());
}

#[test]
fn a_charge_goes_over_to_another_run() {
    let arena = Arena::new(100 * PAGE);
    let mut old = arena.try_take(2, 5).unwrap();
    let mut new = arena.take(3, 0).unwrap();
    old.pass_charge(&mut new, 5);
    drop(old);
    assert_eq!((arena.budget.used(), new.charge()), (2 * PAGE, 2 * PAGE));
    drop(new);
    assert_eq!(arena.budget.used(), 0);
}

#[test]
fn what_the_system_does_not_give_is_not_charged() {
    let arena = Arena::new(u64::MAX);
    assert!(arena.try_take(1 << 45, 0).is_none(), "more than there are addresses");
    assert_eq!(arena.budget.used(), 0);
}

#[test]
fn runs_may_be_dropped_on_other_threads() {
    let arena = Arena::new(1 << 20);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let arena = &arena;
            scope.spawn(move || {
                for round in 0..500usize {
                    let Some(mut run) = arena.try_take(1 + round % 9, 0) else { continue };
                    run.bytes_mut().fill(thread);
                    assert!(run.bytes().iter().all(|byte| *byte == thread));
                    scope.spawn(move || drop(run));
                }
            });
        }
    });
    assert_eq!(arena.budget.used(), 0);
}

#[test]
fn scattered_warm_pages_make_way_for_a_long_run() {
    // Every second page is free and warm, far more than one call gives back.
    let limit = 64 << 20;
    let arena = Arena::new(limit);
    let mut singles: Vec<Run> = (0..limit / PAGE).map(|_| arena.try_take(1, 0).unwrap()).collect();
    for run in &mut singles {
        run.bytes_mut()[0] = 1;
    }
    let mut at = 0;
    singles.retain(|_| {
        at += 1;
        at % 2 == 0
    });
    assert_eq!(arena.warm_bytes(), limit / 2);
    let mut long = arena.try_take(limit as usize / PAGE_BYTES / 2, 0).unwrap();
    long.bytes_mut().fill(2);
    assert_eq!((arena.warm_bytes(), arena.budget.used()), (0, limit));
    assert!(singles.iter().all(|run| run.bytes()[0] == 1), "what is in use is untouched");
    drop(long);
    assert_eq!(arena.warm_bytes(), limit / 2);
    assert!(arena.mapped_bytes() <= 3 * limit, "{} are mapped", arena.mapped_bytes());
}
