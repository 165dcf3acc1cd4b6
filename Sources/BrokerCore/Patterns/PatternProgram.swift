/// A pattern, or what one of its looks asks for, as steps of an automaton.
struct PatternProgram: Sendable {
    /// One step.
    enum Instruction: Sendable {
        /// Takes an octet of the set with this index and goes on with the next step.
        case octet(Int)
        /// Goes on at both.
        case split(Int, Int)
        /// Goes on elsewhere.
        case jump(Int)
        /// Goes on with the next step if the place is right.
        case anchor(PatternNode.Anchor)
        /// Goes on with the next step if the table of the look says so.
        case look(Int, isNegative: Bool)
        /// Found.
        case accept
    }

    /// The steps; the first one comes first, ``Instruction/accept`` is last.
    var instructions: [Instruction] = []
    /// The sets that steps name.
    var sets: [ByteSet] = []
    /// Whether the text is read from its end, as a look ahead is: so one run answers for every place at once.
    var isReversed = false
}

/// Turns what was written into steps.
struct PatternCompiler {
    private let sourceCount: Int
    private var count = 0
    /// The programs of the looks, those inside others first.
    private(set) var looks: [PatternProgram] = []

    /// Makes a compiler for a pattern of so many octets.
    init(sourceCount: Int) {
        self.sourceCount = sourceCount
    }

    /// The steps of a node.
    mutating func program(of node: PatternNode, isReversed: Bool) throws(PatternError) -> PatternProgram {
        var program = PatternProgram()
        program.isReversed = isReversed
        try self.append(node, to: &program)
        try self.emit(.accept, to: &program)
        return program
    }

    private mutating func emit(
        _ instruction: PatternProgram.Instruction,
        to program: inout PatternProgram
    ) throws(PatternError) {
        self.count += 1
        guard self.count <= Pattern.maxInstructions else {
            throw PatternError(reason: "regular expression is too large", position: self.sourceCount)
        }
        program.instructions.append(instruction)
    }

    private mutating func append(_ node: PatternNode, to program: inout PatternProgram) throws(PatternError) {
        switch node {
        case .empty:
            break
        case .octet(let set):
            let index = program.sets.lastIndex(of: set) ?? program.sets.count
            if index == program.sets.count { program.sets.append(set) }
            try self.emit(.octet(index), to: &program)
        case .anchor(let anchor):
            try self.emit(.anchor(anchor), to: &program)
        case .sequence(let nodes):
            if program.isReversed {
                for node in nodes.reversed() { try self.append(node, to: &program) }
            } else {
                for node in nodes { try self.append(node, to: &program) }
            }
        case .choice(let nodes):
            try self.append(choice: nodes, to: &program)
        case .repetition(let node, let least, let most):
            try self.append(repeating: node, least, most, to: &program)
        case .look(let node, let isBehind, let isNegative):
            let look = try self.program(of: node, isReversed: !isBehind)
            self.looks.append(look)
            try self.emit(.look(self.looks.count - 1, isNegative: isNegative), to: &program)
        }
    }

    private mutating func append(
        choice nodes: [PatternNode],
        to program: inout PatternProgram
    ) throws(PatternError) {
        var exits: [Int] = []
        for (index, node) in nodes.enumerated() {
            guard index < nodes.count - 1 else {
                try self.append(node, to: &program)
                break
            }
            let split = program.instructions.count
            try self.emit(.split(split + 1, 0), to: &program)
            try self.append(node, to: &program)
            exits.append(program.instructions.count)
            try self.emit(.jump(0), to: &program)
            program.instructions[split] = .split(split + 1, program.instructions.count)
        }
        for exit in exits {
            program.instructions[exit] = .jump(program.instructions.count)
        }
    }

    private mutating func append(
        repeating node: PatternNode,
        _ least: Int,
        _ most: Int?,
        to program: inout PatternProgram
    ) throws(PatternError) {
        for _ in 0..<least {
            // Nothing, however often, is nothing.
            let before = program.instructions.count
            try self.append(node, to: &program)
            if program.instructions.count == before { break }
        }
        guard let most else {
            let split = program.instructions.count
            try self.emit(.split(split + 1, 0), to: &program)
            try self.append(node, to: &program)
            try self.emit(.jump(split), to: &program)
            program.instructions[split] = .split(split + 1, program.instructions.count)
            return
        }
        guard most > least else { return }
        var splits: [Int] = []
        for _ in least..<most {
            splits.append(program.instructions.count)
            try self.emit(.split(program.instructions.count + 1, 0), to: &program)
            try self.append(node, to: &program)
        }
        for split in splits {
            program.instructions[split] = .split(split + 1, program.instructions.count)
        }
    }
}

/// One run of a program over a text: the set of steps reached, moved on octet by octet.
struct PatternRun {
    private let program: PatternProgram
    private let text: UnsafeRawBufferPointer
    private let tables: [[Bool]]
    private var reached: [Int] = []
    private var next: [Int] = []
    private var stack: [Int] = []
    /// The turn in which a step was reached last, so that it is reached once a turn.
    private var stamps: [Int]
    private var turn = 0
    /// Steps taken so far.
    private(set) var steps = 0

    /// Prepares a run; `tables` has the answers of the looks that the program has.
    init(_ program: PatternProgram, _ text: UnsafeRawBufferPointer, _ tables: [[Bool]]) {
        self.program = program
        self.text = text
        self.tables = tables
        self.stamps = Array(repeating: 0, count: program.instructions.count)
    }

    /// Whether the program is found anywhere.
    mutating func isFound() -> Bool {
        var isFound = false
        self.run { _ in
            isFound = true
            return false
        }
        return isFound
    }

    /// Marks every place at which a match ends (in a reversed program: begins).
    mutating func findAll(_ table: inout [Bool]) {
        self.run { place in
            table[place] = true
            return true
        }
    }

    /// Calls `body` with the places at which a match is complete until it says no.
    private mutating func run(_ body: (Int) -> Bool) {
        let count = self.text.count
        for index in 0...count {
            let place = self.program.isReversed ? count - index : index
            self.turn += 1
            self.next.removeAll(keepingCapacity: true)
            var isAccepted = false
            if index > 0 {
                let octet = self.text[self.program.isReversed ? place : place - 1]
                for step in self.reached {
                    guard case .octet(let set) = self.program.instructions[step] else { continue }
                    if self.program.sets[set].contains(octet) {
                        self.reach(step + 1, at: place, &isAccepted)
                    }
                }
            }
            // A match may begin anywhere.
            self.reach(0, at: place, &isAccepted)
            if isAccepted && !body(place) { return }
            swap(&self.reached, &self.next)
        }
    }

    /// Adds a step and all that follow it without an octet.
    private mutating func reach(_ first: Int, at place: Int, _ isAccepted: inout Bool) {
        self.stack.append(first)
        while let step = self.stack.popLast() {
            guard self.stamps[step] != self.turn else { continue }
            self.stamps[step] = self.turn
            self.steps += 1
            switch self.program.instructions[step] {
            case .octet:
                self.next.append(step)
            case .split(let one, let other):
                self.stack.append(other)
                self.stack.append(one)
            case .jump(let target):
                self.stack.append(target)
            case .anchor(let anchor):
                if self.holds(anchor, at: place) { self.stack.append(step + 1) }
            case .look(let index, let isNegative):
                if self.tables[index][place] != isNegative { self.stack.append(step + 1) }
            case .accept:
                isAccepted = true
            }
        }
    }

    private func holds(_ anchor: PatternNode.Anchor, at place: Int) -> Bool {
        let newline = UInt8(ascii: "\n")
        let count = self.text.count
        switch anchor {
        case .start: return place == 0
        case .lineStart: return place == 0 || (self.text[place - 1] == newline && place < count)
        case .end: return place == count
        case .endOrLastBreak: return place == count || (place == count - 1 && self.text[place] == newline)
        case .lineEnd: return place == count || self.text[place] == newline
        case .wordEdge: return self.isWordEdge(place)
        case .noWordEdge: return !self.isWordEdge(place)
        }
    }

    private func isWordEdge(_ place: Int) -> Bool {
        let before = place > 0 && ByteSet.wordOctets.contains(self.text[place - 1])
        let after = place < self.text.count && ByteSet.wordOctets.contains(self.text[place])
        return before != after
    }
}
