//! Reads how many tests passed from what libtest prints for people; its JSON is not stable.

/// Tests of one or several test programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
    /// What this machine cannot run, and why, as a tier says that chose by what the machine has.
    pub(super) left_out: Vec<String>,
}

/// How such a line begins.
const LEFT_OUT: &str = "left out: ";

impl Count {
    /// Adds every `test result: ok. 3 passed; 0 failed; 1 ignored; …` of a program's output.
    pub(super) fn add(&mut self, printed: &str) {
        for line in printed.lines() {
            self.left_out.extend(line.strip_prefix(LEFT_OUT).map(str::to_owned));
            // a test that prints without a newline stands before it in the same line
            let Some((_, result)) = line.split_once("test result: ") else { continue };
            let mut words = result.split([' ', ';', '.']).filter(|word| !word.is_empty());
            let mut previous = "";
            for word in &mut words {
                let number = previous.parse::<u64>().unwrap_or_default();
                match word {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.ignored += number,
                    _ => {}
                }
                previous = word;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn results_of_several_programs_add_up() {
        let mut count = Count::default();
        count.add(
            "running 2 tests\ntest a ... ok\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s\n\n\
             test result: FAILED. 40 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s\n",
        );
        assert_eq!(count, Count { passed: 42, failed: 2, ignored: 1, left_out: Vec::new() });
    }

    #[test]
    fn what_is_left_out_is_kept_with_its_reason() {
        let mut count = Count::default();
        count.add("left out: oom-group, for the memory controller is elsewhere\nwhat is left out: nothing\n");
        assert_eq!(count.left_out, ["oom-group, for the memory controller is elsewhere"]);
    }

    #[test]
    fn silence_counts_nothing() {
        let mut count = Count::default();
        count.add("error: could not compile `gracetrace`\n");
        assert_eq!(count, Count::default());
    }
}
