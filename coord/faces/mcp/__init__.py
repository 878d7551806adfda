"""The tools, resources and prompts that a coding assistant finds through the Model Context Protocol."""
