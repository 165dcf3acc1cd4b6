internal import AMQPProtocol

extension TopicTrie {
    /// Why a pattern matches a routing key, or the first word at which it cannot any more.
    ///
    /// The places in the pattern that the words so far can have led to are followed together, so that the work is at most
    /// words × words, however many `#` there are.
    static func explain(_ pattern: ShortString, _ routingKey: [UInt8]) -> (isMatched: Bool, reason: BindingReason) {
        let wanted = Self.split(pattern.bytes)
        let words = Self.split(routingKey)
        var places = Self.reach([0], wanted)
        for (index, word) in words.enumerated() {
            var next: [Int] = []
            for place in places where place < wanted.count {
                switch wanted[place] {
                case "#": next.append(place)
                case "*", word: next.append(place + 1)
                default: break
                }
            }
            guard !next.isEmpty else {
                let here = Self.wanted(places, wanted)
                return (
                    false,
                    here.isEmpty
                        ? .tooManyWords(word: index + 1, "\(word)")
                        : .otherWord(word: index + 1, "\(word)", wanted: here)
                )
            }
            places = Self.reach(next, wanted)
        }
        guard places.contains(wanted.count) else { return (false, .tooFewWords(wanted: Self.wanted(places, wanted))) }
        return (true, .pattern(String(decoding: routingKey, as: UTF8.self)))
    }

    private static func split(_ key: [UInt8]) -> [ShortString] {
        guard !key.isEmpty else { return [] }
        return key.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map { ShortString($0) ?? "" }
    }

    /// Places and those behind them that are come to without a word, as `#` may stand for none; each once, in order.
    private static func reach(_ places: [Int], _ pattern: [ShortString]) -> [Int] {
        var reached: [Int] = []
        for place in places {
            var place = place
            while !reached.contains(place) {
                reached.append(place)
                guard place < pattern.count, pattern[place] == "#" else { break }
                place += 1
            }
        }
        return reached.sorted()
    }

    /// The words that may come next, each once.
    private static func wanted(_ places: [Int], _ pattern: [ShortString]) -> [String] {
        var words: [String] = []
        for place in places where place < pattern.count && pattern[place] != "#" {
            let word = "\(pattern[place])"
            if !words.contains(word) { words.append(word) }
        }
        return words
    }
}
