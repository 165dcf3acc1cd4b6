/// A regular expression, found anywhere in a name, as policies and permissions have it.
///
/// RabbitMQ hands them to PCRE, octet by octet. Ours take everything of PCRE that a yes-or-no question can need, except
/// what no automaton can do: back references, atomic groups, possessive repetitions, conditions and recursion are
/// refused when the pattern is set.
///
/// Nothing is tried twice: a match costs at most (octets of the name) × (size of the pattern) steps, whoever wrote either.
struct Pattern: Sendable {
    /// Most octets of a pattern.
    static let maxOctets = 16 * 1024
    /// Most steps that repetitions written out may come to, all looks included.
    static let maxInstructions = 10_000
    /// Groups inside groups.
    static let maxDepth = 100

    /// The pattern as it was written.
    let source: [UInt8]
    private let main: PatternProgram
    private let looks: [PatternProgram]

    /// Reads a pattern.
    init(_ source: [UInt8]) throws(PatternError) {
        guard source.count <= Self.maxOctets else {
            throw PatternError(reason: "regular expression is too large", position: source.count)
        }
        var parser = PatternParser(source)
        let node = try parser.parse()
        var compiler = PatternCompiler(sourceCount: source.count)
        self.main = try compiler.program(of: node, isReversed: false)
        self.looks = compiler.looks
        self.source = source
    }

    /// Reads a pattern.
    init(_ source: String) throws(PatternError) {
        try self.init(Array(source.utf8))
    }

    /// Whether the pattern is found in a name.
    func matches(_ name: [UInt8]) -> Bool {
        name.withUnsafeBytes { self.matches($0).isFound }
    }

    /// Whether the pattern is found, and the steps it took to know.
    func matches(_ text: UnsafeRawBufferPointer) -> (isFound: Bool, steps: Int) {
        var tables: [[Bool]] = []
        var steps = 0
        for look in self.looks {
            // A look inside another one comes before it, so that its table is there.
            var table = Array(repeating: false, count: text.count + 1)
            var run = PatternRun(look, text, tables)
            run.findAll(&table)
            steps += run.steps
            tables.append(table)
        }
        var run = PatternRun(self.main, text, tables)
        let isFound = run.isFound()
        return (isFound, steps + run.steps)
    }
}

extension Pattern: Equatable {
    static func == (left: Pattern, right: Pattern) -> Bool { left.source == right.source }
}
