"""Chart builders: a DataFrame in, an Altair chart out; no Streamlit inside."""
