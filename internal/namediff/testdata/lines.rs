use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

#[inline(never)]
fn show<T: Display, const N: usize>(items: [T; N]) -> String {
    items.iter().map(|i| format!("<{i}>")).collect()
}

fn count(words: &str) -> BTreeMap<&str, usize> {
    words.split(' ').fold(Default::default(), |mut m, w| {
        *m.entry(w).or_insert(0) += 1;
        m
    })
}

fn main() {
    let mut by: HashMap<String, Vec<f64>> = HashMap::new();
    for (i, a) in std::env::args().enumerate() {
        by.entry(a).or_default().push(i as f64 / 3.0);
    }
    let t = std::thread::spawn(move || by.values().map(|v| v.iter().sum::<f64>()).sum::<f64>());
    println!("{} {:?} {}", show([1, 2, 3]), count("a b b"), t.join().unwrap());
}
