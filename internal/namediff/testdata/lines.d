import std.algorithm, std.array, std.conv, std.format, std.range, std.stdio, std.string;

struct Item { string name; long n; }

T best(T, R)(R items) if (isInputRange!R)
{
    return items.maxElement!(i => i.n);
}

void main(string[] args)
{
    auto items = args.map!(a => Item(a.toLower, a.length)).array;
    items.sort!((a, b) => a.n < b.n);
    writeln(best!Item(items), " ", items.map!(i => i.n.to!string).join(","), format("%5.2f", 1.5));
}
