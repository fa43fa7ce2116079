//! Which pages are free, and which of those are warm.

use std::collections::{BTreeMap, BTreeSet};

/// Whether free pages are resident.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Free {
    /// They are, and hold what was last written to them.
    Warm,
    /// They are not: the system gives zeros when they are touched.
    Cold,
}

#[derive(Clone, Copy)]
struct Hole {
    count: usize,
    kind: Free,
}

/// Runs of free pages by place and by size. Neighbours of one kind are one run, unless a region begins between them.
#[derive(Default)]
pub(crate) struct Pages {
    holes: BTreeMap<usize, Hole>,
    /// (kind, count, first): the first match at or after (kind, count, 0) fits best.
    by_size: BTreeSet<(Free, usize, usize)>,
    warm: usize,
    /// Where regions begin: holes do not reach across.
    region_starts: BTreeSet<usize>,
}

impl Pages {
    /// Warm free pages.
    pub(crate) fn warm(&self) -> usize {
        self.warm
    }

    /// Adds mapped pages that nobody has touched.
    pub(crate) fn add_region(&mut self, first: usize, count: usize) {
        self.region_starts.insert(first);
        self.insert(first, count, Free::Cold);
    }

    /// Takes `count` pages from the best fitting hole, a warm one if there is any.
    pub(crate) fn take(&mut self, count: usize) -> Option<(usize, Free)> {
        let fit = |kind| {
            let found = self.by_size.range((kind, count, 0)..).next();
            found.copied().filter(|(other, ..)| *other == kind)
        };
        let (kind, hole_count, first) = fit(Free::Warm).or_else(|| fit(Free::Cold))?;
        self.remove(first);
        if hole_count > count {
            self.insert_alone(first + count, hole_count - count, kind);
        }
        Some((first, kind))
    }

    /// Takes pages back that were in use and so are warm.
    pub(crate) fn give_back(&mut self, first: usize, count: usize) {
        self.insert(first, count, Free::Warm);
    }

    /// Makes up to `count_max` pages at the end of the largest warm hole cold ones; the caller tells the system.
    pub(crate) fn cool(&mut self, count_max: usize) -> Option<(usize, usize)> {
        let largest = self.by_size.range(..(Free::Cold, 0, 0)).next_back();
        let (_, count, first) = *largest?;
        self.remove(first);
        let warm = count.saturating_sub(count_max);
        if warm > 0 {
            self.insert_alone(first, warm, Free::Warm);
        }
        self.insert(first + warm, count - warm, Free::Cold);
        Some((first + warm, count - warm))
    }

    /// Adds a hole, joined with its neighbours of the same kind.
    fn insert(&mut self, mut first: usize, mut count: usize, kind: Free) {
        if !self.region_starts.contains(&first)
            && let Some((&before, &hole)) = self.holes.range(..first).next_back()
            && before + hole.count == first
            && hole.kind == kind
        {
            self.remove(before);
            first = before;
            count += hole.count;
        }
        let after = first + count;
        if !self.region_starts.contains(&after)
            && let Some(&hole) = self.holes.get(&after)
            && hole.kind == kind
        {
            self.remove(after);
            count += hole.count;
        }
        self.insert_alone(first, count, kind);
    }

    fn insert_alone(&mut self, first: usize, count: usize, kind: Free) {
        self.holes.insert(first, Hole { count, kind });
        self.by_size.insert((kind, count, first));
        if kind == Free::Warm {
            self.warm += count;
        }
    }

    fn remove(&mut self, first: usize) {
        let hole = self.holes.remove(&first).expect("a hole begins there");
        self.by_size.remove(&(hole.kind, hole.count, first));
        if hole.kind == Free::Warm {
            self.warm -= hole.count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_pages_are_taken_first_and_best_fitting() {
        let mut pages = Pages::default();
        pages.add_region(100, 50);
        let (a, kind) = pages.take(10).unwrap();
        assert_eq!((a, kind), (100, Free::Cold));
        let (b, _) = pages.take(4).unwrap();
        let (c, _) = pages.take(10).unwrap();
        pages.give_back(a, 10);
        pages.give_back(c, 10);
        assert_eq!(pages.warm(), 20);
        assert_eq!(pages.take(9), Some((a, Free::Warm)));
        assert_eq!(pages.take(1), Some((a + 9, Free::Warm)), "the smallest that fits");
        pages.give_back(b, 4);
        assert_eq!(pages.take(14), Some((b, Free::Warm)), "neighbours were joined");
        assert_eq!(pages.take(27), None);
        assert_eq!(pages.take(26), Some((124, Free::Cold)));
    }

    #[test]
    fn holes_do_not_reach_across_regions() {
        let mut pages = Pages::default();
        pages.add_region(100, 10);
        pages.add_region(110, 10);
        assert_eq!(pages.take(11), None);
        pages.take(10).unwrap();
        pages.take(10).unwrap();
        pages.give_back(110, 10);
        pages.give_back(100, 10);
        assert_eq!(pages.take(11), None);
    }

    #[test]
    fn cooled_pages_join_what_is_cold() {
        let mut pages = Pages::default();
        pages.add_region(0, 10);
        let (first, _) = pages.take(6).unwrap();
        pages.give_back(first, 6);
        assert_eq!(pages.take(10), None);
        assert_eq!(pages.cool(4), Some((first + 2, 4)), "no more than was asked for");
        assert_eq!((pages.warm(), pages.take(9)), (2, None));
        assert_eq!(pages.cool(4), Some((first, 2)));
        assert_eq!(pages.cool(4), None);
        assert_eq!((pages.warm(), pages.take(10)), (0, Some((0, Free::Cold))));
    }
}
