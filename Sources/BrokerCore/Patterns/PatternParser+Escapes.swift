/// What follows a backslash, and what stands between brackets.
extension PatternParser {
    // MARK: Outside of brackets

    /// An escape; the backslash has been taken.
    mutating func escape() throws(PatternError) -> PatternNode? {
        guard let octet = self.peek else { throw self.error("\\ at end of pattern") }
        if let set = Self.shorthand(octet) {
            self.position += 1
            return .octet(set)
        }
        switch octet {
        case UInt8(ascii: "A"), UInt8(ascii: "G"):
            self.position += 1
            return .anchor(.start)
        case UInt8(ascii: "z"):
            self.position += 1
            return .anchor(.end)
        case UInt8(ascii: "Z"):
            self.position += 1
            return .anchor(.endOrLastBreak)
        case UInt8(ascii: "b"):
            self.position += 1
            return .anchor(.wordEdge)
        case UInt8(ascii: "B"):
            self.position += 1
            return .anchor(.noWordEdge)
        case UInt8(ascii: "K"):
            // Moves the start of what was found, which nobody asks for.
            self.position += 1
            return .empty
        case UInt8(ascii: "N"):
            self.position += 1
            return .octet(.notNewline)
        case UInt8(ascii: "C"):
            self.position += 1
            return .octet(.all)
        case UInt8(ascii: "R"):
            self.position += 1
            let pair: [PatternNode] = [.octet(ByteSet([13])), .octet(ByteSet([10]))]
            return .choice([.sequence(pair), .octet(.verticalSpaces)])
        case UInt8(ascii: "1")...UInt8(ascii: "9"), UInt8(ascii: "g"), UInt8(ascii: "k"):
            throw self.error("back references are not supported")
        case UInt8(ascii: "p"), UInt8(ascii: "P"), UInt8(ascii: "X"):
            throw self.error("support for \\P, \\p, and \\X has not been compiled")
        default:
            return self.literal(try self.escapedOctet())
        }
    }

    private static func shorthand(_ octet: UInt8) -> ByteSet? {
        switch octet {
        case UInt8(ascii: "d"): .digits
        case UInt8(ascii: "D"): ByteSet.digits.inverted
        case UInt8(ascii: "w"): .wordOctets
        case UInt8(ascii: "W"): ByteSet.wordOctets.inverted
        case UInt8(ascii: "s"): .spaces
        case UInt8(ascii: "S"): ByteSet.spaces.inverted
        case UInt8(ascii: "h"): .horizontalSpaces
        case UInt8(ascii: "H"): ByteSet.horizontalSpaces.inverted
        case UInt8(ascii: "v"): .verticalSpaces
        case UInt8(ascii: "V"): ByteSet.verticalSpaces.inverted
        default: nil
        }
    }

    /// The octet that an escape stands for; the backslash has been taken and something follows.
    private mutating func escapedOctet() throws(PatternError) -> UInt8 {
        let octet = self.source[self.position]
        self.position += 1
        switch octet {
        case UInt8(ascii: "a"): return 7
        case UInt8(ascii: "e"): return 27
        case UInt8(ascii: "f"): return 12
        case UInt8(ascii: "n"): return 10
        case UInt8(ascii: "r"): return 13
        case UInt8(ascii: "t"): return 9
        case UInt8(ascii: "0")...UInt8(ascii: "7"): return try self.octal(first: octet)
        case UInt8(ascii: "x"): return try self.hexadecimal()
        case UInt8(ascii: "c"):
            guard let letter = self.peek else { throw self.error("\\c at end of pattern") }
            self.position += 1
            let isLower = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter)
            return (isLower ? letter - 32 : letter) ^ 0x40
        default: return octet
        }
    }

    private mutating func octal(first: UInt8) throws(PatternError) -> UInt8 {
        var value = Int(first - UInt8(ascii: "0"))
        var count = 1
        while count < 3, let octet = self.peek, (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(octet) {
            value = value * 8 + Int(octet - UInt8(ascii: "0"))
            self.position += 1
            count += 1
        }
        guard let octet = UInt8(exactly: value) else {
            throw self.error("octal value is greater than \\377 in 8-bit non-UTF-8 mode")
        }
        return octet
    }

    private mutating func hexadecimal() throws(PatternError) -> UInt8 {
        let isBraced = self.take("{" as Unicode.Scalar)
        var value = 0
        var count = 0
        while isBraced || count < 2, let octet = self.peek, let digit = Self.hexDigit(octet) {
            value = value * 16 + digit
            self.position += 1
            count += 1
            guard value <= 255 else {
                throw self.error("character value in \\x{} or \\o{} is too large")
            }
        }
        if isBraced {
            guard count > 0, self.take("}" as Unicode.Scalar) else {
                throw self.error("non-hex character in \\x{} (closing brace missing?)")
            }
        }
        // At most 255.
        return UInt8(truncatingIfNeeded: value)
    }

    private static func hexDigit(_ octet: UInt8) -> Int? {
        switch octet {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(octet - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(octet - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(octet - UInt8(ascii: "A")) + 10
        default: nil
        }
    }

    // MARK: Inside brackets

    private static let unfinished = "missing terminating ] for character class"

    /// A class; the opening bracket has been taken.
    mutating func characterClass() throws(PatternError) -> ByteSet {
        let isInverted = self.take("^" as Unicode.Scalar)
        var set = ByteSet()
        var isFirst = true
        while true {
            guard let octet = self.peek else { throw self.error(Self.unfinished) }
            if octet == UInt8(ascii: "]") && !isFirst {
                self.position += 1
                break
            }
            isFirst = false
            if let named = try self.namedClass() {
                set = set.union(named)
                continue
            }
            guard let low = try self.classMember(&set) else { continue }
            try self.range(from: low, into: &set)
        }
        if self.modes.ignoresCase { set = set.withBothCases }
        return isInverted ? set.inverted : set
    }

    /// `[:alpha:]` and its like; nil when there is none here.
    private mutating func namedClass() throws(PatternError) -> ByteSet? {
        let start = self.position
        guard self.take("[:") else { return nil }
        let isInverted = self.take("^" as Unicode.Scalar)
        var name: [UInt8] = []
        while let octet = self.peek, ByteSet.wordOctets.contains(octet) {
            name.append(octet)
            self.position += 1
        }
        guard self.take(":]") else {
            // Just a bracket and a colon.
            self.position = start
            return nil
        }
        guard let set = ByteSet(posix: String(decoding: name, as: UTF8.self)) else {
            throw self.error("unknown POSIX class name")
        }
        return isInverted ? set.inverted : set
    }

    /// The next octet of a class; nil when it was more than one, which is in the set then, or none.
    private mutating func classMember(_ set: inout ByteSet) throws(PatternError) -> UInt8? {
        let octet = self.source[self.position]
        self.position += 1
        guard octet == UInt8(ascii: "\\") else { return octet }
        guard let escaped = self.peek else { throw self.error("\\ at end of pattern") }
        if let shorthand = Self.shorthand(escaped) {
            self.position += 1
            set = set.union(shorthand)
            return nil
        }
        switch escaped {
        case UInt8(ascii: "b"):
            self.position += 1
            return 8
        case UInt8(ascii: "Q"):
            self.position += 1
            while !self.take("\\E") {
                guard let quoted = self.peek else { throw self.error(Self.unfinished) }
                set.insert(quoted)
                self.position += 1
            }
            return nil
        case UInt8(ascii: "E"):
            self.position += 1
            return nil
        default:
            return try self.escapedOctet()
        }
    }

    /// Adds an octet, or all from it to the one behind a hyphen.
    private mutating func range(from low: UInt8, into set: inout ByteSet) throws(PatternError) {
        let start = self.position
        guard self.take("-" as Unicode.Scalar), let after = self.peek, after != UInt8(ascii: "]") else {
            self.position = start
            set.insert(low)
            return
        }
        var rest = ByteSet()
        guard let high = try self.classMember(&rest) else {
            // `a-\d`: a, hyphen, digits.
            set.insert(low)
            set.insert(UInt8(ascii: "-"))
            set = set.union(rest)
            return
        }
        guard low <= high else { throw self.error("range out of order in character class") }
        set = set.union(ByteSet(low...high))
    }
}
