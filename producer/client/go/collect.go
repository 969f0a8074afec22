package fusionai

// collector puts the pieces of an answer together.
type collector struct {
	made ChatCompletion
	// calls is how many tool calls each choice has, by the index that the pieces have.
	calls []map[int]int
}

// mostChoices is more than any model gives.
const mostChoices = 1024

func (c *collector) add(chunk ChatChunk) {
	c.made.ID, c.made.Created, c.made.Model, c.made.Cached = chunk.ID, chunk.Created, chunk.Model, chunk.Cached
	if chunk.Usage != nil {
		c.made.Usage, c.made.UsageDetails = *chunk.Usage, chunk.UsageDetails
	}
	for _, piece := range chunk.Choices {
		if piece.Index < 0 || piece.Index >= mostChoices {
			continue
		}
		for len(c.made.Choices) <= piece.Index {
			message := Message{Role: "assistant"}
			c.made.Choices = append(c.made.Choices, Choice{Index: len(c.made.Choices), Message: message})
			c.calls = append(c.calls, map[int]int{})
		}
		choice := &c.made.Choices[piece.Index]
		if piece.FinishReason != "" {
			choice.FinishReason = piece.FinishReason
			choice.StopSequence, choice.NativeFinishReason = piece.StopSequence, piece.NativeFinishReason
		}
		c.addDelta(&choice.Message, piece.Delta, c.calls[piece.Index])
	}
}

func (c *collector) addDelta(message *Message, delta Message, calls map[int]int) {
	message.Content += delta.Content
	message.Refusal += delta.Refusal
	message.ReasoningContent += delta.ReasoningContent
	if len(delta.ThinkingBlocks) > 0 {
		message.ThinkingBlocks = delta.ThinkingBlocks
	}
	if len(delta.Images) > 0 {
		message.Images = delta.Images
	}
	if len(delta.ExtraContent) > 0 {
		message.ExtraContent = delta.ExtraContent
	}
	for _, piece := range delta.ToolCalls {
		index := len(message.ToolCalls)
		if piece.Index != nil {
			index = *piece.Index
		}
		at, known := calls[index]
		if !known {
			at = len(message.ToolCalls)
			calls[index] = at
			message.ToolCalls = append(message.ToolCalls, ToolCall{Type: "function"})
		}
		call := &message.ToolCalls[at]
		if piece.ID != "" {
			call.ID = piece.ID
		}
		if piece.Function.Name != "" {
			call.Function.Name = piece.Function.Name
		}
		if len(piece.ExtraContent) > 0 {
			call.ExtraContent = piece.ExtraContent
		}
		call.Function.Arguments += piece.Function.Arguments
	}
}

func (c *collector) completion(meta Meta) *ChatCompletion {
	made := c.made
	made.Object, made.Meta = "chat.completion", meta
	return &made
}
