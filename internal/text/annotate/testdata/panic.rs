// Prints its maps and panics.
#[inline(never)]
fn middle(x: Option<i32>) -> i32 {
    x.unwrap()
}

fn main() {
    print!("{}", std::fs::read_to_string("/proc/self/maps").unwrap());
    let x = if std::env::args().count() > 9 { Some(1) } else { None };
    println!("{}", middle(x));
}
