//! Decimal numbers as text, exactly.

use super::Misfit;

/// The text of a decimal with exactly `scale` digits behind the point. More digits than that are rounded half away
/// from zero where `round` says so, else too many.
pub(super) fn read(text: &[u8], precision: u32, scale: u32, round: bool) -> Result<String, Misfit> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &digits[digits.len()..]),
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !all_digits || whole.is_empty() && fraction.is_empty() {
        return Err(Misfit::Form);
    }
    let scale = scale as usize;
    let is_cut = fraction.len() > scale && fraction[scale..].iter().any(|digit| *digit != b'0');
    if is_cut && !round {
        return Err(Misfit::Size);
    }
    let mut kept: Vec<u8> = whole.iter().chain(fraction.iter().take(scale)).copied().collect();
    kept.resize(whole.len() + scale, b'0');
    if fraction.len() > scale && fraction[scale] >= b'5' && is_cut {
        add_one(&mut kept);
    }
    let point = kept.len() - scale;
    let whole: Vec<u8> = kept[..point].iter().copied().skip_while(|digit| *digit == b'0').collect();
    if whole.len() > (precision as usize).saturating_sub(scale) {
        return Err(Misfit::Size);
    }
    let mut text = String::new();
    if negative && kept.iter().any(|digit| *digit != b'0') {
        text.push('-');
    }
    text.push_str(if whole.is_empty() { "0" } else { std::str::from_utf8(&whole).expect("digits") });
    if scale > 0 {
        text.push('.');
        text.push_str(std::str::from_utf8(&kept[point..]).expect("digits"));
    }
    Ok(text)
}

fn add_one(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}
