//! The chores of larder: test, bench, crash, tidy, services, soak, fuzz.

fn main() {}
