use super::*;

const NOW: Timestamp = Timestamp(100);

#[test]
fn kills_by_prefix_and_age() {
    let mut flushes = Flushes::default();
    flushes.add(b"user:", 10);
    assert!(flushes.is_dead(b"user:1", 9, NOW));
    assert!(!flushes.is_dead(b"user:1", 10, NOW));
    assert!(!flushes.is_dead(b"use", 1, NOW));
    flushes.add(b"", 20);
    assert_eq!(flushes.in_effect.len(), 1, "a flush of all covers the one of a prefix");
    assert!(flushes.is_dead(b"x", 19, NOW));
}

#[test]
fn a_waiting_flush_kills_from_its_second_on() {
    let mut flushes = Flushes::default();
    flushes.wait(b"", Timestamp(101));
    flushes.wait(b"", Timestamp(103));
    assert!(!flushes.is_dead(b"x", 1, Timestamp(102)), "the later flush replaced the earlier");
    assert!(flushes.is_dead(b"x", 1, Timestamp(103)));
    assert!(flushes.take_due(Timestamp(102)).is_empty());
    assert_eq!(flushes.take_due(Timestamp(103)).len(), 1);
    assert!(flushes.is_empty());
}

#[test]
fn the_board_shows_what_was_published() {
    let board = Board::default();
    assert!(board.load().is_none());
    let mut flushes = Flushes::default();
    flushes.add(b"a", 1);
    board.publish(flushes.clone());
    assert_eq!(*board.load().unwrap(), flushes);
    board.publish(Flushes::default());
    assert!(board.load().is_none());
}
