"""Files that are complete or absent, who may write to a folder, and where everything lies. No torch."""
