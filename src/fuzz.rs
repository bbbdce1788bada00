//! For tests: fuzzes a parser with many mutations of valid inputs.
//!
//! Mutations are mutated again. It has no coverage feedback, so that it runs as an ordinary test. The same seed and
//! number of rounds give the same inputs; a failing input is reduced before it is reported.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The default of [`ROUNDS_VARIABLE`]: about two seconds for all parsers, unoptimized.
const ROUNDS: u64 = 4_000;
const ROUNDS_VARIABLE: &str = "HOOKFIRE_FUZZ_ROUNDS";
const SEED_VARIABLE: &str = "HOOKFIRE_FUZZ_SEED";

/// Inputs that are mutated again.
const POOL: usize = 64;
/// Repeated duplication must end.
const MAX_INPUT_BYTES: usize = 16 * 1024;

/// Calls `law` with mutations of `seeds`, into which `words` are inserted. Panics with the input for which `law` panics.
pub fn fuzz(seeds: &[&[u8]], words: &[&str], law: impl Fn(&[u8])) {
    let number = |variable, usual| match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("`{variable}` is not a number")),
        Err(_) => usual,
    };
    let (rounds, seed) = (number(ROUNDS_VARIABLE, ROUNDS), number(SEED_VARIABLE, 1));
    let holds = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| law(input))).is_ok();
    seeds.iter().for_each(|seed| law(seed));
    let mut chance = Chance(seed);
    let mut pool: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    for round in 0..rounds {
        let mut input = chance.pick(&pool).clone();
        for _ in 0..=chance.below(4) {
            change(&mut input, &pool, words, &mut chance);
        }
        input.truncate(MAX_INPUT_BYTES);
        if !holds(&input) {
            let least = smaller(input, holds);
            panic!(
                "in round {round} of seed {seed}, the law is broken by b\"{}\"",
                least.escape_ascii()
            );
        }
        // Seeds are never replaced.
        match (chance.below(4), pool.len()) {
            (0, POOL..) => {
                let place = seeds.len() + chance.below(POOL - seeds.len());
                pool[place] = input;
            }
            (0, _) => pool.push(input),
            _ => {}
        }
    }
}

fn change(input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str], chance: &mut Chance) {
    let from = chance.below(input.len() + 1);
    let to = (from + 1 + chance.below(24)).min(input.len());
    match chance.below(8) {
        0 if from < input.len() => input[from] ^= 1 << chance.below(8),
        1 => input.insert(from, u8::try_from(chance.below(256)).unwrap_or_default()),
        2 => drop(input.drain(from..to)),
        3 => input.truncate(from),
        4 => {
            let piece = input[from..to].repeat(1 + chance.below(8));
            input.splice(from..from, piece);
        }
        5 => {
            let other = chance.pick(pool);
            let start = chance.below(other.len() + 1);
            let piece = other[start..(start + chance.below(60)).min(other.len())].to_vec();
            input.splice(from..to, piece);
        }
        _ if words.is_empty() => {}
        6 => drop(input.splice(from..to, chance.pick(words).bytes())),
        _ => drop(input.splice(from..from, chance.pick(words).bytes())),
    }
}

/// The smallest part of the input that still breaks the law.
fn smaller(mut input: Vec<u8>, holds: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut piece = input.len() / 2;
    while piece > 0 {
        let mut from = 0;
        while from < input.len() {
            let mut less = input.clone();
            less.drain(from..(from + piece).min(less.len()));
            if holds(&less) {
                from += piece;
            } else {
                input = less;
            }
        }
        piece /= 2;
    }
    input
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The remainder is below `end`.
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

#[test]
fn a_broken_law_is_found_and_its_input_reduced() {
    let found = catch_unwind(|| {
        fuzz(&[b"<a><b/></a>"], &["<", "&"], |input| {
            assert!(!input.ends_with(b"&<"))
        })
    });
    let words = *found.unwrap_err().downcast::<String>().unwrap();
    assert!(words.ends_with("the law is broken by b\"&<\""), "{words}");
}
