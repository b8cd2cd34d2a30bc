//! The labels of a time axis: round numbers, as many as have room.

/// A moment on the axis, and its label.
pub(in crate::sink) type Tick = (f64, String);

/// The most that are drawn, whatever the numbers are.
const MOST: usize = 64;

/// From 0 to `span_ms`, at least `least_ms` apart; seconds where the span has some, else milliseconds.
pub(in crate::sink) fn ticks(span_ms: f64, least_ms: f64) -> Vec<Tick> {
    let power = 10_f64.powf(least_ms.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    let Some(step) = steps.into_iter().find(|step| *step >= least_ms && step.is_finite() && *step > 0.0) else {
        return Vec::new();
    };
    let (unit_ms, unit) = if span_ms >= 1e3 { (1e3, "s") } else { (1.0, "ms") };
    let decimals = decimals(step / unit_ms);
    let places = std::iter::successors(Some(0_u32), |index| index.checked_add(1)).take(MOST);
    let places = places.map(|index| f64::from(index) * step).take_while(|at| *at <= span_ms);
    // no decimals where a whole number will do: 1 s between 0.5 s and 1.5 s
    let label = |at: f64| {
        let number = at / unit_ms;
        let decimals = if (number - number.round()).abs() < 1e-6 { 0 } else { decimals };
        format!("{number:.decimals$} {unit}")
    };
    places.map(|at| (at, label(at))).collect()
}

/// Those that a step like 0.05 needs.
fn decimals(step: f64) -> usize {
    (0..12).find(|decimals| step * 10_f64.powi(*decimals) > 0.999).and_then(|some| some.try_into().ok()).unwrap_or(12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(span_ms: f64, least_ms: f64) -> Vec<String> {
        ticks(span_ms, least_ms).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn numbers_are_round_and_tell_each_other_apart() {
        assert_eq!(labels(3000.0, 400.0), ["0 s", "0.5 s", "1 s", "1.5 s", "2 s", "2.5 s", "3 s"]);
        assert_eq!(labels(30_142.0, 5001.0), ["0 s", "10 s", "20 s", "30 s"]);
        assert_eq!(labels(0.17, 0.04), ["0 ms", "0.05 ms", "0.10 ms", "0.15 ms"]);
        assert_eq!(labels(1200.0, 400.0), ["0 s", "0.5 s", "1 s"]);
    }

    #[test]
    fn numbers_that_are_none_give_no_axis() {
        for (span, least) in [(f64::NAN, 1.0), (1.0, f64::NAN), (0.0, 0.0), (1.0, f64::INFINITY), (1.0, -1.0)] {
            assert!(ticks(span, least).len() <= 1, "{span} {least}");
        }
        assert_eq!(ticks(f64::INFINITY, 1.0).len(), MOST);
    }
}
