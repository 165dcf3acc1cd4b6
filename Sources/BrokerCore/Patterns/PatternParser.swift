/// Reads what was written: PCRE's syntax, octet by octet.
struct PatternParser {
    /// What `(?i)` and its like have set.
    struct Modes {
        var ignoresCase = false
        var isMultiline = false
        var dotTakesAll = false
        var isExtended = false
    }

    let source: [UInt8]
    var position = 0
    private(set) var modes = Modes()
    private var depth = 0
    /// Inside `\Q…\E`.
    private var isQuoting = false

    /// Prepares to read a pattern.
    init(_ source: [UInt8]) {
        self.source = source
    }

    /// The whole pattern.
    mutating func parse() throws(PatternError) -> PatternNode {
        let node = try self.choice()
        guard self.position == self.source.count else { throw self.error("unmatched parentheses") }
        return node
    }

    /// The next octet without taking it; nil at the end.
    var peek: UInt8? { self.position < self.source.count ? self.source[self.position] : nil }

    /// Takes the next octet if it is this one.
    mutating func take(_ octet: Unicode.Scalar) -> Bool {
        guard self.peek == UInt8(ascii: octet) else { return false }
        self.position += 1
        return true
    }

    /// Takes what comes next if it is this text.
    mutating func take(_ text: String) -> Bool {
        guard self.source[self.position...].starts(with: text.utf8) else { return false }
        self.position += text.utf8.count
        return true
    }

    /// An error at the current octet.
    func error(_ reason: String) -> PatternError { PatternError(reason: reason, position: self.position) }

    // MARK: Structure

    private mutating func choice() throws(PatternError) -> PatternNode {
        var nodes = [try self.sequence()]
        while self.take("|" as Unicode.Scalar) {
            nodes.append(try self.sequence())
        }
        return nodes.count == 1 ? nodes[0] : .choice(nodes)
    }

    private mutating func sequence() throws(PatternError) -> PatternNode {
        var nodes: [PatternNode] = []
        while let octet = self.peek {
            if self.isQuoting {
                if self.take("\\E") {
                    self.isQuoting = false
                    continue
                }
            } else {
                if octet == UInt8(ascii: "|") || octet == UInt8(ascii: ")") { break }
                if self.skipsExtended(octet) { continue }
                if self.take("\\Q") {
                    self.isQuoting = true
                    continue
                }
                if self.take("\\E") { continue }
            }
            guard var node = try self.item() else { continue }
            if !self.isQuoting || self.endsQuoting() {
                node = try self.repetitions(of: node)
            }
            nodes.append(node)
        }
        if nodes.isEmpty { return .empty }
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    /// A repetition behind `\Q…\E` is that of the last octet in it.
    private mutating func endsQuoting() -> Bool {
        guard self.take("\\E") else { return false }
        self.isQuoting = false
        return true
    }

    /// Under `(?x)` white space and comments count for nothing.
    private mutating func skipsExtended(_ octet: UInt8) -> Bool {
        guard self.modes.isExtended else { return false }
        if octet == UInt8(ascii: "#") {
            while let octet = self.peek, octet != UInt8(ascii: "\n") { self.position += 1 }
            return true
        }
        guard ByteSet.spaces.contains(octet) else { return false }
        self.position += 1
        return true
    }

    /// The next thing that can be repeated; nil for one that is not there in the end, such as `(?i)`.
    private mutating func item() throws(PatternError) -> PatternNode? {
        let octet = self.source[self.position]
        if self.isQuoting {
            self.position += 1
            return self.literal(octet)
        }
        switch octet {
        case UInt8(ascii: "("):
            self.position += 1
            return try self.group()
        case UInt8(ascii: "["):
            self.position += 1
            return .octet(try self.characterClass())
        case UInt8(ascii: "\\"):
            self.position += 1
            return try self.escape()
        case UInt8(ascii: "."):
            self.position += 1
            return .octet(self.modes.dotTakesAll ? .all : .notNewline)
        case UInt8(ascii: "^"):
            self.position += 1
            return .anchor(self.modes.isMultiline ? .lineStart : .start)
        case UInt8(ascii: "$"):
            self.position += 1
            return .anchor(self.modes.isMultiline ? .lineEnd : .endOrLastBreak)
        case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
            throw self.error("nothing to repeat")
        case UInt8(ascii: "{"):
            if try self.counts() != nil {
                self.position -= 1
                throw self.error("nothing to repeat")
            }
            self.position += 1
            return self.literal(octet)
        default:
            self.position += 1
            return self.literal(octet)
        }
    }

    /// One octet, in both cases if that is asked for.
    func literal(_ octet: UInt8) -> PatternNode {
        let set = ByteSet(CollectionOfOne(octet))
        return .octet(self.modes.ignoresCase ? set.withBothCases : set)
    }

    // MARK: Groups

    private mutating func group() throws(PatternError) -> PatternNode? {
        self.depth += 1
        defer { self.depth -= 1 }
        guard self.depth <= Pattern.maxDepth else { throw self.error("parentheses are too deeply nested") }
        let modes = self.modes
        var look: (isBehind: Bool, isNegative: Bool)?
        if self.take("?" as Unicode.Scalar) {
            if self.take("#" as Unicode.Scalar) {
                while let octet = self.peek, octet != UInt8(ascii: ")") { self.position += 1 }
                guard self.take(")" as Unicode.Scalar) else { throw self.error("missing ) after comment") }
                return nil
            }
            if self.take("=" as Unicode.Scalar) {
                look = (false, false)
            } else if self.take("!" as Unicode.Scalar) {
                look = (false, true)
            } else if self.take("<=") {
                look = (true, false)
            } else if self.take("<!") {
                look = (true, true)
            } else if try self.groupKind() == false {
                // Modes for the rest of the group around.
                return nil
            }
        }
        let node = try self.choice()
        guard self.take(")" as Unicode.Scalar) else { throw self.error("missing )") }
        self.modes = modes
        // A group can be repeated, whatever is in it.
        guard let look else { return .choice([node]) }
        return .look(node, isBehind: look.isBehind, isNegative: look.isNegative)
    }

    /// Reads what stands between `(?` and the group's content; false when there is no content, as in `(?i)`.
    private mutating func groupKind() throws(PatternError) -> Bool {
        if self.take(":" as Unicode.Scalar) { return true }
        if self.take("|" as Unicode.Scalar) { return true }
        if self.take("P<") || self.take("<") { return try self.groupName(until: ">") }
        if self.take("'" as Unicode.Scalar) { return try self.groupName(until: "'") }
        if self.peek == UInt8(ascii: ">") { throw self.error("atomic groups are not supported") }
        if self.peek == UInt8(ascii: "(") { throw self.error("conditional groups are not supported") }
        if let octet = self.peek, ByteSet(Array("R&P+0123456789".utf8)).contains(octet) {
            throw self.error("recursion is not supported")
        }
        var isOn = true
        while let octet = self.peek {
            self.position += 1
            switch octet {
            case UInt8(ascii: "-"): isOn = false
            case UInt8(ascii: "i"): self.modes.ignoresCase = isOn
            case UInt8(ascii: "m"): self.modes.isMultiline = isOn
            case UInt8(ascii: "s"): self.modes.dotTakesAll = isOn
            case UInt8(ascii: "x"): self.modes.isExtended = isOn
            case UInt8(ascii: "U"), UInt8(ascii: "J"): break
            case UInt8(ascii: ":"): return true
            case UInt8(ascii: ")"): return false
            default:
                self.position -= 1
                throw self.error("unrecognized character after (? or (?-")
            }
        }
        throw self.error("missing )")
    }

    private mutating func groupName(until end: Unicode.Scalar) throws(PatternError) -> Bool {
        let start = self.position
        while let octet = self.peek, ByteSet.wordOctets.contains(octet) { self.position += 1 }
        guard self.position > start else { throw self.error("subpattern name expected") }
        guard self.take(end) else { throw self.error("syntax error in subpattern name (missing terminator)") }
        return true
    }

    // MARK: Repetitions

    /// A node with the repetition that follows it, if one does.
    private mutating func repetitions(of node: PatternNode) throws(PatternError) -> PatternNode {
        if self.modes.isExtended {
            while let octet = self.peek, self.skipsExtended(octet) {}
        }
        // What stands behind a place or another repetition is refused when its turn comes.
        if case .anchor = node { return node }
        guard let (least, most) = try self.repetition() else { return node }
        if self.peek == UInt8(ascii: "+") { throw self.error("possessive quantifiers are not supported") }
        // Greedy or not makes no difference to whether there is a match.
        _ = self.take("?" as Unicode.Scalar)
        return .repetition(node, least: least, most: most)
    }

    private mutating func repetition() throws(PatternError) -> (Int, Int?)? {
        switch self.peek {
        case UInt8(ascii: "{"): return try self.counts()
        case UInt8(ascii: "*"):
            self.position += 1
            return (0, nil)
        case UInt8(ascii: "+"):
            self.position += 1
            return (1, nil)
        case UInt8(ascii: "?"):
            self.position += 1
            return (0, 1)
        default: return nil
        }
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else in braces is as it stands.
    private mutating func counts() throws(PatternError) -> (Int, Int?)? {
        let start = self.position
        self.position += 1
        guard let least = try self.number() else {
            self.position = start
            return nil
        }
        var most: Int? = least
        if self.take("," as Unicode.Scalar) {
            most = try self.number()
        }
        guard self.take("}" as Unicode.Scalar) else {
            self.position = start
            return nil
        }
        if let most, most < least {
            // PCRE looks at the closing brace when it finds out.
            self.position -= 1
            throw self.error("numbers out of order in {} quantifier")
        }
        return (least, most)
    }

    private mutating func number() throws(PatternError) -> Int? {
        var value: Int?
        while let octet = self.peek, ByteSet.digits.contains(octet) {
            self.position += 1
            let next = (value ?? 0) * 10 + Int(octet - UInt8(ascii: "0"))
            guard next <= 65_535 else { throw self.error("number too big in {} quantifier") }
            value = next
        }
        return value
    }
}
