//! Randomness as a pure function of the seed, a label and two numbers.
//!
//! There is no state: a draw more in one place changes nothing in another. The mixing is SplitMix64's finalizer, whose
//! first values are pinned by a test, so that a seed means the same on every machine and with every compiler.

/// The seed of a world, and all that is drawn from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN)))
    }

    /// 64 bits for the `nth` draw of what `label` and `index` name.
    pub fn bits(self, label: &str, index: u64, nth: u64) -> u64 {
        let mut hash = self.0 ^ FNV_OFFSET;
        for byte in label.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        mix(mix(mix(hash).wrapping_add(index.wrapping_mul(GOLDEN))).wrapping_add(nth.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// An integer from `low` to `high`, both included; `low` where the range is empty.
    pub fn between(self, label: &str, index: u64, nth: u64, low: i64, high: i64) -> i64 {
        let Some(span) = high.checked_sub(low).and_then(|span| u64::try_from(span).ok()) else { return low };
        // Multiply and shift instead of a remainder: no bias worth naming for the spans of milliseconds used here.
        let scaled = (u128::from(self.bits(label, index, nth)) * (u128::from(span) + 1)) >> 64;
        low.saturating_add(i64::try_from(scaled).unwrap_or(0))
    }

    /// Hexadecimal text of `digits` characters (at most 16).
    pub fn hex(self, label: &str, index: u64, nth: u64, digits: usize) -> String {
        let mut text = format!("{:016x}", self.bits(label, index, nth));
        text.truncate(digits);
        text
    }

    /// The five characters that Kubernetes puts behind generated names: no vowels, nothing that looks alike.
    pub fn suffix(self, label: &str, index: u64, nth: u64) -> String {
        const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut bits = self.bits(label, index, nth);
        let mut text = String::with_capacity(5);
        for _ in 0..5 {
            let at = usize::try_from(bits % 27).unwrap_or(0);
            text.push(LETTERS.get(at).map_or('x', |letter| char::from(*letter)));
            bits /= 27;
        }
        text
    }

    /// A UUID-shaped name.
    pub fn uuid(self, label: &str, index: u64, nth: u64) -> String {
        let high = self.bits(label, index, nth.wrapping_mul(2));
        let low = self.bits(label, index, nth.wrapping_mul(2).wrapping_add(1));
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_is_within_its_range_and_reaches_both_ends() {
        let rng = Rng::new(1);
        let drawn: std::collections::BTreeSet<i64> = (0..200).map(|nth| rng.between("x", 0, nth, -2, 2)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [-2, -1, 0, 1, 2]);
        assert_eq!(rng.between("x", 0, 0, 5, 4), 5);
    }

    #[test]
    fn the_first_values_of_a_seed_never_change() {
        let rng = Rng::new(7);
        assert_eq!(rng.0, 0x63cb_e1e4_5932_0dd7);
        assert_eq!(rng.bits("boot", 3, 1), PINNED);
    }

    const PINNED: u64 = 2_683_936_485_643_482_630;
}
